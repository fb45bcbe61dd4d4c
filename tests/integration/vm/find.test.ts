import { afterEach, describe, expect, test } from "vitest";
import { SmolVM, type VMConfig } from "../../../src/index.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

afterEach(async () => {
  for (const info of await SmolVM.list()) await SmolVM.from(info).delete({ force: true });
});

const define = (options: VMConfig): Promise<SmolVM> => SmolVM.define({ network: "off", ...options });
const names = async (labels: VMConfig["labels"]): Promise<string[]> =>
  (await SmolVM.list({ labels: labels! })).map(({ name }) => name);

describe("labels", () => {
  test("have any value that JSON can say, and come back as they were given", async () => {
    const labels = { user: { id: 7, tags: ["a", "b"] }, paid: true, n: 1, none: null, text: "1" };
    await using vm = await define({ labels });
    expect((await vm.info()).labels).toEqual(labels);
  });

  test("are found by the whole value and its type, whatever the order of names", async () => {
    await define({ name: "one", labels: { a: 1, who: { id: 1, at: ["x"] } } });
    await define({ name: "yes", labels: { a: true } });
    await define({ name: "text", labels: { a: "1" } });
    await define({ name: "null", labels: { a: null } });
    await define({ name: "without" });
    expect(await names({ a: 1 })).toEqual(["one"]);
    expect(await names({ a: true })).toEqual(["yes"]);
    expect(await names({ a: "1" })).toEqual(["text"]);
    expect(await names({ a: null })).toEqual(["null"]);
    expect(await names({ who: { at: ["x"], id: 1 } })).toEqual(["one"]);
    expect(await names({ who: { id: 1 } })).toEqual([]);
    expect(await names({ a: 1, who: { at: ["x"], id: 1 } })).toEqual(["one"]);
  });

  test("that JSON has not, or that are too much, are refused", async () => {
    const itself: Record<string, unknown> = {};
    itself.itself = itself;
    for (const labels of [
      { a: undefined },
      { a: Number.NaN },
      { a: 1n },
      itself,
      { a: "x".repeat(17_000) },
      ["a"],
    ]) {
      const refused = { code: "CONFIG_INVALID", message: expect.stringMatching(/^labels: /) };
      await expect(define({ labels: labels as never })).rejects.toMatchObject(refused);
    }
    await expect(SmolVM.list({ labels: { a: new Date() } as never })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    expect(await SmolVM.list()).toEqual([]);
  });
});

describe("a handle", () => {
  test("is made of what a list says, and says when that is gone", async () => {
    await define({ name: "listed" });
    const [info] = await SmolVM.list();
    const vm = SmolVM.from(info!);
    expect((await vm.info()).name).toBe("listed");
    await vm.delete();
    const gone = { code: "VM_NOT_FOUND", message: "sandbox 'listed' was deleted" };
    await expect(SmolVM.from(info!).info()).rejects.toMatchObject(gone);
    await SmolVM.from(info!).delete();
  });

  test("is not made of anything else", () => {
    for (const vm of [undefined, null, {}, { id: "x" }, { id: 1, name: "x" }, { id: "", name: "x" }])
      expect(() => SmolVM.from(vm as never)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });
});

test("a number that is out of its range is refused with the range", async () => {
  await expect(define({ memSizeMib: 64 })).rejects.toMatchObject({
    message: "memSizeMib: 64 is less than 128",
    hint: "Give 128 to 16384.",
  });
});

test("a port that is published twice is the same one, with its address, as soon as it has one", async () => {
  const vm = await define({});
  const first = await vm.ports.publish(8000, { hostPort: 48_231 });
  expect(first).toMatchObject({ hostPort: 48_231, url: "http://127.0.0.1:48231" });
  expect(await vm.ports.publish(8000)).toEqual(first);
  expect(await vm.ports.publish(8000, { hostPort: 48_231 })).toEqual(first);
  expect((await vm.ports.publish(9000)).url).toBeUndefined();
  expect(await vm.ports.publish(9000, { hostPort: 0 })).toMatchObject({ guestPort: 9000 });
  await vm.ports.publish(8000, { hostPort: 48_232 });
  expect((await vm.ports.published()).map(({ guestPort, hostPort }) => [guestPort, hostPort])).toEqual([
    [8000, 48_231],
    [9000, undefined],
    [8000, 48_232],
  ]);
});

test("a key is any text, and what is none is refused before anything is made", async () => {
  for (const key of ["", undefined, 5, "a\0b", "\ud800", "x".repeat(1025)])
    await expect(SmolVM.getOrCreate(key as never)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  await expect(SmolVM.getOrCreate("k", { memory: 5 } as never)).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
  expect(await SmolVM.list()).toEqual([]);
});
