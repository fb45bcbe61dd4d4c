import { expect, test } from "vitest";
import { chooseDiscovery, chooseMachine } from "../../../../src/backends/qemu/machine.ts";

test("auto is microvm for x86_64 guests and virt for aarch64 guests", () => {
  expect(chooseMachine("auto", "x86_64")).toBe("microvm");
  expect(chooseMachine("auto", "aarch64")).toBe("virt");
});

test("an x86_64 guest may ask for either machine", () => {
  expect(chooseMachine("q35", "x86_64")).toBe("q35");
  expect(chooseMachine("microvm", "x86_64")).toBe("microvm");
});

test("an aarch64 guest on an x86_64 machine is refused in the words of the option", () => {
  expect(() => chooseMachine("q35", "aarch64")).toThrow(
    "qemuMachine 'q35' is for x86_64 guests, and arch is aarch64",
  );
});

test("devices are found on the command line where that works, else by ACPI", () => {
  const fast = { machine: "microvm", kernel: "fast", disks: 2, nic: true } as const;
  expect(chooseDiscovery(fast)).toBe("command-line");
  expect(chooseDiscovery({ ...fast, kernel: "debian" })).toBe("acpi");
  expect(chooseDiscovery({ ...fast, kernel: "custom" })).toBe("acpi");
  expect(chooseDiscovery({ ...fast, machine: "virt" })).toBe("acpi");
  // without ACPI there is no room for a ninth device: network, channels, disks
  expect(chooseDiscovery({ ...fast, disks: 6 })).toBe("command-line");
  expect(chooseDiscovery({ ...fast, disks: 7 })).toBe("acpi");
  expect(chooseDiscovery({ ...fast, disks: 7, nic: false })).toBe("command-line");
});

test("a QEMU without the firmware of microvm has q35, and says so to who asks for it", () => {
  expect(chooseMachine("auto", "x86_64", "no qboot.rom")).toBe("q35");
  expect(chooseMachine("q35", "x86_64", "no qboot.rom")).toBe("q35");
  expect(chooseMachine("auto", "aarch64", "no qboot.rom")).toBe("virt");
  expect(() => chooseMachine("microvm", "x86_64", "no qboot.rom")).toThrow(
    expect.objectContaining({ code: "BACKEND_UNAVAILABLE", message: expect.stringContaining("qboot.rom") }),
  );
});
