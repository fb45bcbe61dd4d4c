import { expect, test } from "vitest";
import { installCommand, osReleaseIds, packageManager } from "../../../../src/host/setup/install-hint.ts";

test.each([
  ["linux", "ID=debian\n", "sudo apt-get install -y qemu-system-x86"],
  [
    "linux",
    'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\n',
    "sudo apt-get install -y qemu-system-x86",
  ],
  ["linux", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n', "sudo dnf install -y qemu-system-x86-core"],
  ["linux", "ID=arch\n", "sudo pacman -S --needed qemu-system-x86"],
  ["linux", 'ID="opensuse-tumbleweed"\n', "sudo zypper install -y qemu-x86"],
  ["linux", "ID=alpine\n", "sudo apk add qemu-system-x86_64"],
  ["darwin", "", "brew install qemu"],
  ["win32", "", "winget install SoftwareFreedomConservancy.QEMU"],
  ["linux", "ID=plan9\n", undefined],
] as const)("on %s with %j QEMU is installed by %s", (platform, osRelease, command) => {
  expect(installCommand("qemu-x86_64", packageManager(platform, osRelease))).toBe(command);
});

test("a package that a distribution does not have gets no command", () => {
  expect(installCommand("mmdebstrap", "brew")).toBeUndefined();
});

test("quotes and several names are read from os-release", () => {
  expect(osReleaseIds("ID='a'\nID_LIKE=\"b C\"\n")).toEqual(["a", "b", "c"]);
});
