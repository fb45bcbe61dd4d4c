import { describe, expect, test } from "vitest";
import { vmmExitError } from "../../../src/backends/vmm-exit.ts";

const exit = (stderr: string, code: number | undefined = 1, signal?: string) => ({ code, signal, stderr });

describe("the error for a VMM that ended", () => {
  test("says how it ended, when, and what it said itself", () => {
    const error = vmmExitError("qemu-system-x86_64", exit("qemu: oops\n"), 12.4);
    expect(error.code).toBe("VMM_FAILED");
    expect(error.message).toBe("qemu-system-x86_64 exited with 1 after 12 ms: qemu: oops");
    expect(error.details).toMatchObject({ exitCode: 1, stderr: "qemu: oops" });
  });

  test.each([
    ["qemu: cannot set up guest memory 'ram': Cannot allocate memory", "VMM_FAILED", "memSizeMib"],
    ['qemu: -device virtio-blk-device: Failed to get "write" lock', "DISK_IN_USE", "disk"],
    ["qemu: -gdb tcp:127.0.0.1:80: Failed to bind socket: Address already in use", "PORT_IN_USE", "gdbPort"],
    ["Could not access KVM kernel module: Permission denied", "KVM_UNAVAILABLE", "smolvm doctor"],
    [
      "qemu: -netdev tap,id=net,ifname=smolvm0: could not configure /dev/net/tun (smolvm0): Device or resource busy",
      "TAP_UNAVAILABLE",
      "run it again",
    ],
    ["qemu: write failed: No space left on device", "NO_SPACE", "Free space"],
    ["qemu: Could not load library WinHvPlatform.dll.", "BACKEND_UNAVAILABLE", "smolvm doctor"],
    ["qemu: could not load PC BIOS 'qboot.rom'", "BACKEND_UNAVAILABLE", "firmware"],
    ["qemu: linux kernel too old to load a ram disk", "IMAGE_INVALID", "kernelPath"],
  ])("knows what '%s' means", (stderr, code, hint) => {
    const error = vmmExitError("qemu", exit(stderr));
    expect(error.code).toBe(code);
    expect(error.hint).toContain(hint);
  });

  test("a kill that nobody asked for is explained", () => {
    const error = vmmExitError("qemu", exit("", undefined, "SIGKILL"));
    expect(error.message).toBe("qemu was ended by SIGKILL");
    expect(error.hint).toContain("out of memory");
  });

  test("an end that nobody wrote down is told as such", () => {
    expect(vmmExitError("qemu", { code: undefined, signal: undefined, stderr: "" }).message).toBe(
      "qemu was killed together with its monitor",
    );
  });
});
