import { describe, expect, test } from "vitest";
import type { BackendCandidate } from "../../../src/backends/candidate.ts";
import { autoOrder, decide, unavailable } from "../../../src/backends/select.ts";

const qemu: BackendCandidate = {
  name: "qemu",
  usable: true,
  reason: "QEMU 9.0.0 at /usr/bin/qemu-system-x86_64",
};
const noQemu: BackendCandidate = {
  name: "qemu",
  usable: false,
  reason: "qemu-system-x86_64 not found",
  hint: "Install it: sudo apt-get install -y qemu-system-x86",
};
const noFirecracker: BackendCandidate = {
  name: "firecracker",
  usable: false,
  reason: "KVM support not detected: /dev/kvm does not exist",
  code: "KVM_UNAVAILABLE",
  hint: "lsmod | grep kvm",
};
const firecracker: BackendCandidate = { name: "firecracker", usable: true, reason: "Firecracker 1.16.2" };

describe("choosing a backend", () => {
  test("auto considers firecracker first on Linux, and only qemu on macOS and Windows", () => {
    expect(autoOrder("linux")).toEqual(["firecracker", "qemu"]);
    expect(autoOrder("darwin")).toEqual(["qemu"]);
    expect(autoOrder("win32")).toEqual(["qemu"]);
  });

  test("the first that can run is taken, and all reasons are kept", () => {
    const candidates = [noFirecracker, qemu];
    expect(decide("auto", candidates)).toEqual({ backend: "qemu", requested: "auto", candidates });
    expect(decide("auto", [firecracker, qemu]).backend).toBe("firecracker");
  });

  test("when none can run, the error names each with its reason and the command that helps", () => {
    const error = unavailable([noFirecracker, noQemu]);
    expect(error.code).toBe("BACKEND_UNAVAILABLE");
    expect(error.message).toBe(
      "no backend can run on this host: firecracker: KVM support not detected: /dev/kvm does not exist; " +
        "qemu: qemu-system-x86_64 not found",
    );
    expect(error.hint).toBe("Install it: sudo apt-get install -y qemu-system-x86");
  });

  test("a backend that was asked for and cannot run is an error of its own, never another backend", () => {
    expect(() => decide("qemu", [noQemu])).toThrow(
      "backend 'qemu' cannot run on this host: qemu-system-x86_64 not found",
    );
  });

  test("firecracker that was asked for on a host without KVM is the seeds' error", () => {
    const error = unavailable([noFirecracker]);
    expect(error.code).toBe("KVM_UNAVAILABLE");
    expect(error.message).toBe("KVM support not detected: /dev/kvm does not exist");
  });
});
