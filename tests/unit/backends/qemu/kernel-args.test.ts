import { describe, expect, test } from "vitest";
import { type KernelArgsInput, kernelArgs } from "../../../../src/backends/qemu/kernel-args.ts";

const BASE: KernelArgsInput = {
  arch: "x86_64",
  accelerator: "tcg",
  tscKhz: 2_445_414.4,
  noAcpi: false,
  ports: 5,
  bootArgs: "",
};

describe("the kernel's command line", () => {
  test("an emulated x86_64 guest is told its TSC's frequency and skips what only costs time", () => {
    expect(kernelArgs(BASE)).toMatchInlineSnapshot(
      `"console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on cryptomgr.notests init_on_alloc=0 norandmaps tsc_early_khz=2445414 tsc=reliable no_timer_check mitigations=off smolvm.ports=5"`,
    );
  });

  test("a machine without ACPI tables is not searched for them", () => {
    expect(kernelArgs({ ...BASE, noAcpi: true })).toContain(" acpi=off ");
    expect(kernelArgs(BASE)).not.toContain("acpi");
  });

  test("an unknown TSC frequency is left out", () => {
    expect(kernelArgs({ ...BASE, tscKhz: undefined })).not.toContain("tsc_early_khz");
  });

  test("a hardware guest keeps its mitigations and calibrates by itself", () => {
    expect(kernelArgs({ ...BASE, accelerator: "kvm" })).toMatchInlineSnapshot(
      `"console=ttyS0 quiet panic=-1 reboot=t random.trust_cpu=on cryptomgr.notests smolvm.ports=5"`,
    );
  });

  test("an aarch64 guest has its own console and resets by PSCI", () => {
    expect(kernelArgs({ ...BASE, arch: "aarch64" })).toMatchInlineSnapshot(
      `"console=ttyAMA0 quiet panic=-1 random.trust_cpu=on cryptomgr.notests init_on_alloc=0 norandmaps smolvm.ports=5"`,
    );
  });

  test("the user's additions come last, so that they win", () => {
    const line = kernelArgs({ ...BASE, bootArgs: "  loglevel=7 mitigations=auto " });
    expect(line.endsWith(" smolvm.ports=5 loglevel=7 mitigations=auto")).toBe(true);
  });
});
