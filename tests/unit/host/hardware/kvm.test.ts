import { describe, expect, test } from "vitest";
import { classifyKvm, type KvmObservation } from "../../../../src/host/hardware/kvm.ts";

const SEEN: KvmObservation = {
  platform: "linux",
  arch: "x86_64",
  openError: undefined,
  cpuFlags: new Set(["fpu", "svm"]),
  group: undefined,
  userInGroup: false,
  user: "ann",
  setup: "sudo ./scripts/system-setup.sh",
};

describe("the state of KVM", () => {
  test("is usable when the device opens and the CPU shows vmx or svm", () => {
    expect(classifyKvm(SEEN)).toEqual({ state: "usable", detail: "enabled", fix: undefined });
    expect(classifyKvm({ ...SEEN, cpuFlags: new Set(["vmx"]) }).state).toBe("usable");
  });

  test("is software when the device opens and the CPU shows neither", () => {
    const facts = classifyKvm({ ...SEEN, cpuFlags: new Set(["fpu"]) });
    expect(facts.state).toBe("software");
    expect(facts.fix).toContain("nested virtualization");
  });

  test("needs no such flag on Arm", () => {
    expect(classifyKvm({ ...SEEN, arch: "aarch64", cpuFlags: new Set() }).state).toBe("usable");
  });

  test("is absent without the device, with the three remedies", () => {
    const facts = classifyKvm({ ...SEEN, openError: "ENOENT" });
    expect(facts.state).toBe("absent");
    expect(facts.fix).toContain("lsmod | grep kvm");
    expect(facts.fix).toContain("BIOS");
    expect(facts.fix).toContain("sudo ./scripts/system-setup.sh");
  });

  test("is forbidden when the user is not in the device's group, and the fix joins it", () => {
    const facts = classifyKvm({ ...SEEN, openError: "EACCES", group: "kvm" });
    expect(facts.state).toBe("forbidden");
    expect(facts.fix).toContain("sudo usermod -aG kvm ann");
  });

  test("is forbidden when no group may open it, and the fix is the set-up", () => {
    const facts = classifyKvm({ ...SEEN, openError: "EACCES", group: undefined });
    expect(facts.fix).toContain("log in again: sudo ./scripts/system-setup.sh");
  });

  test("is software when the device is closed and opening it would not help", () => {
    const facts = classifyKvm({ ...SEEN, openError: "EACCES", group: "kvm", cpuFlags: new Set(["fpu"]) });
    expect(facts).toMatchObject({ state: "software", detail: expect.stringContaining("not open to 'ann'") });
  });

  test("needs a new login when the user joined the group since", () => {
    const facts = classifyKvm({ ...SEEN, openError: "EACCES", group: "kvm", userInGroup: true });
    expect(facts.state).toBe("relogin");
    expect(facts.fix).toContain("newgrp kvm");
  });

  test("says other errors as they are", () => {
    expect(classifyKvm({ ...SEEN, openError: "EBUSY" })).toMatchObject({
      state: "failed",
      detail: "/dev/kvm cannot be opened: EBUSY",
    });
  });

  test("does not exist outside Linux", () => {
    expect(classifyKvm({ ...SEEN, platform: "darwin" }).state).toBe("platform");
  });
});
