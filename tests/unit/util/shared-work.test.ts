import { describe, expect, test } from "vitest";
import { Deadline } from "../../../src/util/deadline.ts";
import { SharedWork } from "../../../src/util/shared-work.ts";

/** Work that ends when it is told to, or given up; and what became of it. */
function work(): { shared: SharedWork<string>; finish: (result: string) => void; seen: string[] } {
  const seen: string[] = [];
  let finish: (result: string) => void = () => {};
  const shared = new SharedWork<string>(
    (signal) =>
      new Promise((resolve, reject) => {
        finish = resolve;
        signal.addEventListener("abort", () => {
          seen.push("given up");
          reject(signal.reason);
        });
      }),
  );
  return { shared, finish: (result) => finish(result), seen };
}

function caller(): { deadline: Deadline; leave: () => void } {
  const controller = new AbortController();
  return {
    deadline: Deadline.of("waiting", { signal: controller.signal }),
    leave: () => controller.abort("left"),
  };
}

describe("work that several wait for", () => {
  test("goes on when one of them leaves, also the one who began it", async () => {
    const { shared, finish, seen } = work();
    const [first, second] = [caller(), caller()];
    const [one, two] = [shared.join(first.deadline), shared.join(second.deadline)];
    first.leave();
    await expect(one).rejects.toMatchObject({ code: "ABORTED" });
    finish("done");
    await expect(two).resolves.toBe("done");
    expect(seen).toEqual([]);
  });

  test("is given up when the last one leaves, who waits for its end", async () => {
    const { shared, seen } = work();
    const [first, second] = [caller(), caller()];
    const [one, two] = [shared.join(first.deadline), shared.join(second.deadline)];
    first.leave();
    await expect(one).rejects.toMatchObject({ code: "ABORTED" });
    second.leave();
    await expect(two).rejects.toMatchObject({ code: "ABORTED" });
    expect(seen).toEqual(["given up"]);
  });

  test("fails for all of them alike", async () => {
    const shared = new SharedWork(() => Promise.reject(new Error("broken")));
    await expect(shared.join(caller().deadline)).rejects.toThrow("broken");
    await expect(shared.join(caller().deadline)).rejects.toThrow("broken");
    await shared.settled;
  });
});
