import { expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

test("what is no name or filter is refused, and lists nothing", async () => {
  for (const name of [undefined, 5, ""]) {
    await expect(SmolVM.get(name as never)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  }
  for (const filter of [null, 5, { stat: "running" }, { state: "asleep" }, { labels: ["a"] }]) {
    await expect(SmolVM.list(filter as never)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  }
});

test("before it is started a sandbox says so by its name, and stopping it is fine", async () => {
  const vm = new SmolVM({ name: "not-yet", network: "off" });
  await vm.stop();
  await expect(vm.info()).rejects.toMatchObject({
    code: "VM_NOT_FOUND",
    message: "sandbox 'not-yet' was not started yet",
    hint: "Start it first: await vm.start()",
  });
  await expect(vm.logs({ tailLines: -1 })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});

test("after it was deleted every call says so by its name", async () => {
  const vm = await SmolVM.define({ name: "gone", network: "off" });
  await vm.delete();
  const calls = [
    () => vm.start(),
    () => vm.stop(),
    () => vm.restart(),
    () => vm.info(),
    () => vm.logs(),
    () => vm.run("true"),
    () => vm.spawn("true").started,
    () => vm.files.read("/etc/passwd"),
    () => vm.ports.expose(80),
    () => vm.connect(80),
  ];
  for (const call of calls) {
    await expect(call()).rejects.toMatchObject({
      code: "VM_NOT_FOUND",
      message: "sandbox 'gone' was deleted",
    });
  }
  await vm.delete();
});

test("a wrong option of run is told before anything boots", async () => {
  const vm = new SmolVM({ network: "off" });
  await expect(vm.run("true", { timeout: 5 } as never)).rejects.toMatchObject({
    hint: "Did you mean 'timeoutMs'?",
  });
  await expect(vm.spawn("true", { chdir: "/" } as never).wait()).rejects.toMatchObject({
    message: "unknown option 'chdir'",
  });
  expect(await SmolVM.list()).toEqual([]);
});
