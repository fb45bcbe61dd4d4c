import { type ChildProcess, spawn } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

/** The calibration trap shows in about every boot without the remedy, so that a small sample tells; --long is sure. */
const BOOTS = process.env.SMOLVM_TEST_LONG ? 20 : 3;
const BUSY_LOOPS = 3;
/** An emulated boot that gets a fifth of a core takes its time; one that hangs never ends. */
const BOOT_MS = 120_000;

const loops: ChildProcess[] = [];
beforeAll(() => {
  for (let i = 0; i < BUSY_LOOPS; i++) {
    loops.push(spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }));
  }
});
afterAll(() => {
  for (const loop of loops) loop.kill("SIGKILL");
});

test(`${BOOTS} of ${BOOTS} boots answer with ${BUSY_LOOPS} busy loops beside them`, {
  timeout: BOOTS * BOOT_MS,
}, async () => {
  for (let boot = 1; boot <= BOOTS; boot++) {
    await using vm = await SmolVM.create({ ...small("qemu"), timeoutMs: BOOT_MS });
    expect((await vm.run(["echo", `boot ${boot}`])).stdout).toBe(`boot ${boot}\n`);
  }
});
