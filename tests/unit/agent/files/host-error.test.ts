import { expect, test } from "vitest";
import { hostError } from "../../../../src/agent/files/host-error.ts";
import { SmolVMError } from "../../../../src/errors.ts";

const errno = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code });

test.each([
  ["ENOENT", "FILE_NOT_FOUND"],
  ["EACCES", "FILE_PERMISSION"],
  ["EEXIST", "FILE_EXISTS"],
  ["ENOTDIR", "FILE_TYPE"],
  ["EIO", "FILE_FAILED"],
])("the host's %s is %s, and says that it is about this machine", (code, expected) => {
  const error = hostError(errno(code), "downloading '/a'", "/home/me/a");
  expect(error).toMatchObject({ code: expected, details: { side: "host", errno: code } });
  expect(error.message).toMatch(/^downloading '\/a' failed: '\/home\/me\/a': /);
});

test("a full disk of the host is not mistaken for the sandbox's", () => {
  const error = hostError(errno("ENOSPC"), "downloading '/a'", "/home/me/a");
  expect(error).toMatchObject({ code: "NO_SPACE", hint: expect.stringMatching(/this machine/) });
  expect(error.message).toMatch(/this machine's disk is full/);
});

test("an error that is ours already stays as it is", () => {
  const ours = new SmolVMError("TIMEOUT", "x");
  expect(hostError(ours, "downloading", "/a")).toBe(ours);
});

test("the name under which a download is written first is not the user's", () => {
  const error = Object.assign(new Error("no"), { code: "ENOENT", path: "/proc/.smolvm-abc123" });
  expect(hostError(error, "downloading '/x'", "/proc/x").message).toBe(
    "downloading '/x' failed: '/proc/x': no such file or directory on this machine",
  );
});
