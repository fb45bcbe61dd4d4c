import { describe, expect, test } from "vitest";
import {
  type AcceleratorFacts,
  chooseAccelerator,
  hardwareRefusal,
} from "../../../../src/backends/qemu/accel.ts";
import { SmolVMError } from "../../../../src/errors.ts";
import type { KvmFacts } from "../../../../src/host/hardware/kvm.ts";

const USABLE: KvmFacts = { state: "usable", detail: "enabled", fix: undefined };
const SOFTWARE: KvmFacts = { state: "software", detail: "a software KVM", fix: "Use nested virtualization." };
const ABSENT: KvmFacts = {
  state: "absent",
  detail: "/dev/kvm does not exist",
  fix: "Verify: lsmod | grep kvm",
};
const NOT_LINUX: KvmFacts = { state: "platform", detail: "KVM exists on Linux only", fix: undefined };

const linux = (kvm: KvmFacts): AcceleratorFacts => ({
  platform: "linux",
  hostArch: "x86_64",
  kvm,
  built: ["kvm", "tcg"],
});
const mac: AcceleratorFacts = {
  platform: "darwin",
  hostArch: "aarch64",
  kvm: NOT_LINUX,
  built: ["hvf", "tcg"],
};
const windows: AcceleratorFacts = {
  platform: "win32",
  hostArch: "x86_64",
  kvm: NOT_LINUX,
  built: ["whpx", "tcg"],
};

const refused = (act: () => unknown): SmolVMError => {
  try {
    act();
  } catch (error) {
    if (error instanceof SmolVMError) return error;
    throw error;
  }
  throw new Error("did not throw");
};

describe("choosing the accelerator", () => {
  test("auto takes the host's own where it works", () => {
    expect(chooseAccelerator("auto", "x86_64", linux(USABLE))).toBe("kvm");
    expect(chooseAccelerator("auto", "aarch64", mac)).toBe("hvf");
    expect(chooseAccelerator("auto", "x86_64", windows)).toBe("whpx");
  });

  test("auto emulates where KVM cannot run guests, a software KVM included", () => {
    expect(chooseAccelerator("auto", "x86_64", linux(ABSENT))).toBe("tcg");
    expect(chooseAccelerator("auto", "x86_64", linux(SOFTWARE))).toBe("tcg");
  });

  test("auto emulates where QEMU, when it was tried, could not use what it was built with", () => {
    const tried = "Could not load library WinHvPlatform.dll";
    expect(chooseAccelerator("auto", "x86_64", { ...windows, tried })).toBe("tcg");
    expect(hardwareRefusal("x86_64", { ...windows, tried })).toEqual({
      reason: `QEMU cannot use whpx: ${tried}`,
      hint: expect.stringMatching(
        /: Enable-WindowsOptionalFeature -Online -FeatureName HypervisorPlatform -All$/,
      ),
    });
    const error = refused(() => chooseAccelerator("whpx", "x86_64", { ...windows, tried }));
    expect(error).toMatchObject({ code: "BACKEND_UNAVAILABLE", hint: expect.stringContaining("Enable-") });
    expect(chooseAccelerator("auto", "aarch64", { ...mac, tried: "HV_UNSUPPORTED" })).toBe("tcg");
    expect(hardwareRefusal("x86_64", windows)).toBeUndefined();
    expect(hardwareRefusal("x86_64", linux(ABSENT))?.reason).toBe(ABSENT.detail);
  });

  test("auto emulates guests of another architecture", () => {
    expect(chooseAccelerator("auto", "aarch64", linux(USABLE))).toBe("tcg");
    expect(chooseAccelerator("auto", "x86_64", mac)).toBe("tcg");
  });

  test("auto emulates when this QEMU was built without the host's accelerator", () => {
    expect(chooseAccelerator("auto", "x86_64", { ...linux(USABLE), built: ["tcg"] })).toBe("tcg");
  });

  test("tcg may be asked for where kvm works", () => {
    expect(chooseAccelerator("tcg", "x86_64", linux(USABLE))).toBe("tcg");
  });

  test("kvm that was asked for and does not work is KVM_UNAVAILABLE with the remedy", () => {
    const error = refused(() => chooseAccelerator("kvm", "x86_64", linux(ABSENT)));
    expect(error.code).toBe("KVM_UNAVAILABLE");
    expect(error.message).toBe("KVM support not detected: /dev/kvm does not exist");
    expect(error.hint).toBe("Verify: lsmod | grep kvm");
    expect(error.details).toMatchObject({ kvm: "absent" });
  });

  test("an accelerator of another platform or architecture is refused, and auto is suggested", () => {
    const hvf = refused(() => chooseAccelerator("hvf", "x86_64", linux(USABLE)));
    expect(hvf.code).toBe("BACKEND_UNAVAILABLE");
    expect(hvf.message).toBe(
      "accelerator 'hvf' cannot run x86_64 guests on this host: hvf exists on macOS only",
    );
    expect(hvf.hint).toContain('"auto"');
    const arm = refused(() => chooseAccelerator("kvm", "aarch64", linux(USABLE)));
    expect(arm.message).toContain("only guests of the host's own architecture");
  });
});
