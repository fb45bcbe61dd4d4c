import { expect, test } from "vitest";
import { firecrackerRefusal, readVersion } from "../../../../src/backends/firecracker/version.ts";
import { isOlder } from "../../../../src/util/versions.ts";

test("the version is read from what Firecracker and its jailer print", () => {
  expect(readVersion("Firecracker v1.12.1\n\n2026-11-23T02:17:40 [anonymous-instance:main] exiting\n")).toBe(
    "1.12.1",
  );
  expect(readVersion("Jailer v1.16.2\n")).toBe("1.16.2");
  expect(readVersion("QEMU emulator version 7.2.22")).toBeUndefined();
});

test("versions with known holes are refused", () => {
  expect(firecrackerRefusal("1.14.0")).toContain("CVE-2026-1386");
  expect(firecrackerRefusal("1.9.9")).toContain("1.14.1");
  expect(firecrackerRefusal("1.16.0")).toContain("1.16.0");
  for (const good of ["1.14.1", "1.15.0", "1.16.1", "1.16.2", "2.0.0"])
    expect(firecrackerRefusal(good)).toBeUndefined();
});

test("versions are compared by their numbers", () => {
  expect([isOlder("1.9.0", "1.14.1"), isOlder("1.14.1", "1.14.1"), isOlder("2", "1.14.1")]).toEqual([
    true,
    false,
    false,
  ]);
});
