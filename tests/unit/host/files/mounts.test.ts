import { expect, test } from "vitest";
import { mountRefusal } from "../../../../src/backends/firecracker/jail-refusal.ts";
import { findMount } from "../../../../src/host/files/mounts.ts";

const MOUNTINFO = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /home rw,nosuid,nodev,relatime shared:2 - ext4 /dev/sda2 rw
31 22 0:27 / /home/me/a\\040b rw,noexec - tmpfs t rw
40 22 0:30 / /mnt rw,nodev - tmpfs first rw
41 40 0:31 / /mnt rw - tmpfs second rw
`;

test.each([
  ["/var/lib", "/", ["rw", "relatime"]],
  ["/home", "/home", ["rw", "nosuid", "nodev", "relatime"]],
  ["/home/me/.local/share/smolvm", "/home", ["rw", "nosuid", "nodev", "relatime"]],
  ["/homes/me", "/", ["rw", "relatime"]],
  ["/home/me/a b/c", "/home/me/a b", ["rw", "noexec"]],
  ["/mnt/x", "/mnt", ["rw"]],
])("the mount of %s is the nearest around it, and the last of those", (path, point, options) => {
  expect(findMount(MOUNTINFO, path)).toEqual({ point, options });
});

test("Firecracker's jailer needs a mount with devices and programs, and the remedy names what is missing", () => {
  expect(mountRefusal({ point: "/", options: ["rw"] })).toBeUndefined();
  expect(mountRefusal(undefined)).toBeUndefined();
  expect(mountRefusal({ point: "/home", options: ["rw", "nosuid", "nodev", "noexec"] })).toEqual({
    reason: expect.stringMatching(/^'\/home' is mounted nodev and noexec: /),
    fix: expect.stringMatching(/SMOLVM_HOME.* sudo mount -o remount,dev,exec '\/home'$/),
  });
});
