import { describe, expect, test } from "vitest";
import { bootError, bootStage } from "../../../../src/vm/machine/boot-report.ts";

const evidence = { name: "box", console: "", exit: undefined, timeoutMs: 60_000, emulated: true };

describe("a boot that did not succeed", () => {
  test.each([
    ["", "firmware"],
    ["[    0.000000] Linux version 6.1\r\n", "kernel"],
    ["smolvm-agent: init\r\nsmolvm-agent: disks\r\n", "disks"],
    ["smolvm-agent: init\nsmolvm-agent: FAILED root: no such device\n", "root"],
  ])("after the console %j is at a stage of its own", (console, stage) => {
    expect(bootStage(console)).toBe(stage);
  });

  test("names the limit to raise when time ran out", () => {
    const error = bootError({ ...evidence, console: "smolvm-agent: init\n" });
    expect(error.code).toBe("BOOT_TIMEOUT");
    expect(error.message).toBe(
      "sandbox 'box' did not answer within 60000 ms: it came as far as stage 'init'",
    );
    expect(error.hint).toMatch(/^Raise timeoutMs/);
    expect(error.details).toMatchObject({ stage: "init", console: ["smolvm-agent: init"] });
  });

  test("passes on what the VMM said when it ended at once", () => {
    const exit = { code: 1, signal: undefined, stderr: "qemu: could not load kernel 'x'\n" };
    const error = bootError({ ...evidence, exit });
    expect(error.code).toBe("BOOT_FAILED");
    expect(error.message).toBe(
      "sandbox 'box' did not boot: the VMM ended (exit code 1): qemu: could not load kernel 'x'",
    );
  });

  test("sends to the kernel only where the VMM did not say why it ended", () => {
    const said = (stderr: string) =>
      bootError({ ...evidence, exit: { code: 1, signal: undefined, stderr } }).hint;
    expect(said("")).toContain("kernelPath");
    expect(said("qemu: -device virtio-blk: no such thing\n")).toMatch(/^That is what the VMM says/);
    expect(said("qemu: could not load PC BIOS 'qboot.rom'\n")).toContain("firmware");
  });

  test("tells a kernel panic and the agent's own failure", () => {
    const panic = "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n";
    expect(bootError({ ...evidence, console: panic }).message).toContain(
      "kernel panicked: VFS: Unable to mount",
    );
    const failed = "smolvm-agent: FAILED disks: no disk smolvm-base\n";
    expect(bootError({ ...evidence, console: failed }).message).toContain(
      "at stage 'disks': no disk smolvm-base",
    );
  });

  test("keeps only the last lines of a long console", () => {
    const console = Array.from({ length: 1000 }, (_, i) => `line ${i}`).join("\n");
    expect((bootError({ ...evidence, console }).details.console as string[]).length).toBe(40);
  });
});
