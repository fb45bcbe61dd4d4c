import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type RunResult, SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";

useTempHome();

const DEADLINE_MS = scaled(10_000);

/** Takes threads until it may not any more, and then goes on trying. Processes would be limited by their memory first. */
const BOMB = [
  "python3",
  "-c",
  "import threading, time\nthreading.stack_size(65536)\nwhile True:\n  try: threading.Thread(target=time.sleep, args=(10000,)).start()\n  except RuntimeError: time.sleep(0.05)",
];

describe.each(BACKENDS)("fork bombs at once on %s", (backend) => {
  let vm: SmolVM;
  const end = new Set<AbortController>();
  const ends: Promise<unknown>[] = [];
  beforeEach(async () => {
    vm = await SmolVM.create(small(backend));
  });
  afterEach(async () => {
    for (const controller of end) controller.abort();
    expect((await Promise.allSettled(ends.splice(0))).map(({ status }) => status)).not.toContain("fulfilled");
    end.clear();
    await vm?.delete({ force: true });
  });

  const taken = async (): Promise<number[]> =>
    (await vm.processes.list())
      .filter(({ argv }) => argv.join(" ").includes("threading"))
      .map(({ processes }) => processes ?? 0);
  /** One more, which has taken what it may when this resolves. */
  async function bomb(limits = {}): Promise<void> {
    const controller = new AbortController();
    end.add(controller);
    const count = (await taken()).length;
    const run = vm.run(BOMB, { signal: controller.signal, limits });
    run.catch(() => {}); // looked at in the end
    ends.push(run);
    let last = 0;
    await until("it has taken all it may", async () => {
      const now = (await taken())[count] ?? 0;
      const grown = now !== last || now < 3;
      last = now;
      await new Promise((resolve) => setTimeout(resolve, 300));
      return !grown;
    });
  }
  const hi = (): Promise<RunResult> => vm.run("echo hi | cat", { timeoutMs: DEADLINE_MS });

  test("leave room for the next command, however many there are", async () => {
    const each = (await vm.info()).commands!.each.pids!;
    for (let count = 1; count <= 6; count++) {
      await bomb();
      expect(await hi(), `beside ${count}`).toMatchObject({ stdout: "hi\n", stderr: "" });
    }
    const counts = await taken();
    console.log(`taken by each of six: ${counts.join(", ")}`);
    expect(counts.slice(0, 3)).toEqual([each, each, each]);
    expect(counts[5]).toBeLessThan(each);
  });

  test("of the usual kind leave room as well", async () => {
    for (let count = 1; count <= 3; count++) {
      const controller = new AbortController();
      end.add(controller);
      ends.push(vm.run("f(){ f|f& };f; sleep 10000", { signal: controller.signal }));
      ends.at(-1)!.catch(() => {}); // looked at in the end
      const large = async () => (await vm.processes.list()).filter(({ processes }) => (processes ?? 0) > 100);
      await until("it has grown", async () => (await large()).length === count);
      for (let i = 0; i < 3; i++) expect(await hi()).toMatchObject({ stdout: "hi\n", stderr: "" });
    }
  });

  test("that were allowed everything are named to who gets nothing, and can be ended", async () => {
    const all = (await vm.info()).commands!.all.pids!;
    await bomb({ pids: all });
    const error = await hi().catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: "VM_BUSY",
      message: expect.stringMatching(
        /as its commands may have together, among them \d+ of command \d+ \('python3/,
      ),
      details: { holders: [{ id: expect.any(Number), processes: all }] },
    });
    const { details, hint } = error as { details: { holders: { id: number }[] }; hint: string };
    const { id } = details.holders[0]!;
    expect(hint).toContain(`smolvm kill NAME ${id}`);
    await vm.processes.kill(id, "SIGKILL", { tree: true });
    expect(await hi()).toMatchObject({ stdout: "hi\n" });
    await expect(ends.pop()).resolves.toMatchObject({ signal: "SIGKILL" });
  });
});
