import { expect, test } from "vitest";
import { hostRefusal } from "../../../../src/backends/firecracker/candidate.ts";

const KVM = { state: "usable", detail: "enabled", fix: undefined } as const;
const NO_KVM = { state: "absent", detail: "/dev/kvm does not exist", fix: "lsmod | grep kvm" } as const;

test("Firecracker needs Linux, the host's own architecture and a KVM that works, and says which it misses", () => {
  expect(hostRefusal("linux", "x86_64", "x86_64", KVM)).toBeUndefined();
  expect(hostRefusal("linux", "aarch64", undefined, KVM)).toBeUndefined();
  expect(hostRefusal("darwin", "aarch64", undefined, KVM)?.reason).toBe(
    "Firecracker runs on Linux with KVM only",
  );
  expect(hostRefusal("linux", "x86_64", "aarch64", KVM)?.reason).toContain("not aarch64");
  expect(hostRefusal("linux", "x86_64", undefined, NO_KVM)).toEqual({
    code: "KVM_UNAVAILABLE",
    reason: "KVM support not detected: /dev/kvm does not exist",
    hint: "lsmod | grep kvm",
  });
});
