import { expect, test } from "vitest";
import { firecrackerRefusal, readVersion } from "../../../src/backends/firecracker/version.ts";

test.each([
  ["1.12.1", /older than 1\.14\.1/],
  ["1.14.0", /CVE-2026-1386/],
  ["1.16.0", /loses the channel/],
])("Firecracker %s is refused", (version, why) => {
  expect(firecrackerRefusal(version)).toMatch(why);
});

test.each(["1.14.1", "1.15.0", "1.16.1", "1.16.2", "2.0.0"])("Firecracker %s may run", (version) => {
  expect(firecrackerRefusal(version)).toBeUndefined();
});

test("the version is read from what the programs print", () => {
  expect(readVersion("Firecracker v1.16.2\n\n2026-01-01T00:00:00 [anonymous-instance:main] exit\n")).toBe(
    "1.16.2",
  );
  expect(readVersion("Jailer v1.12.1\n")).toBe("1.12.1");
  expect(readVersion("QEMU emulator version 7.2.22\n")).toBeUndefined();
});
