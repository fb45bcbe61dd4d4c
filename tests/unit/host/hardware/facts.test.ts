import { expect, test } from "vitest";
import { hostArch, tscKhzFromCpuinfo } from "../../../../src/host/hardware/facts.ts";

test("the frequency in an Intel model name is the TSC's", () => {
  const text = "model name\t: Intel(R) Xeon(R) CPU @ 2.80GHz\ncpu MHz\t\t: 1200.000\nflags\t\t: fpu\n";
  expect(tscKhzFromCpuinfo(text)).toBe(2_800_000);
});

test("inside a virtual machine cpu MHz counts", () => {
  const text = "model name\t: AMD EPYC\ncpu MHz\t\t: 2445.414\nflags\t\t: fpu hypervisor lm\n";
  expect(tscKhzFromCpuinfo(text)).toBe(2_445_414);
});

test("on bare metal cpu MHz moves with the load and does not count", () => {
  expect(tscKhzFromCpuinfo("model name\t: AMD Ryzen\ncpu MHz\t\t: 400.0\nflags\t\t: fpu\n")).toBeUndefined();
});

test("nonsense is not a frequency", () => {
  expect(tscKhzFromCpuinfo("")).toBeUndefined();
  expect(tscKhzFromCpuinfo("cpu MHz\t: 1\nflags\t: hypervisor\n")).toBeUndefined();
});

test("Node's architecture names become ours", () => {
  expect([hostArch("x64"), hostArch("arm64"), hostArch("s390x")]).toEqual(["x86_64", "aarch64", undefined]);
});
