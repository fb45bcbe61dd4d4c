import { expect, test } from "vitest";
import { readAnswers } from "../../../../src/backends/qemu/probe.ts";

const OUTPUT = [
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": []}}',
  '{"return": {}}',
  '{"return": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"}, "id": "version"}',
  '{"return": {"arch": "x86_64"}, "id": "target"}',
  '{"return": [{"name": "pc-q35-7.2", "alias": "q35"}, {"name": "microvm"}, {"name": "isapc"}], "id": "machines"}',
  '{"return": [{"name": "tcg-accel"}, {"name": "kvm-accel"}, {"name": "accel"}], "id": "accels"}',
  '{"event": "SHUTDOWN", "data": {}, "timestamp": {"seconds": 1, "microseconds": 1}}',
].join("\r\n");

test("a probe's answers say version, target, machines and accelerators", () => {
  expect(readAnswers(OUTPUT)).toEqual({
    version: "7.2.22",
    package: "Debian 1:7.2",
    target: "x86_64",
    machines: ["microvm", "q35"],
    accelerators: ["kvm", "tcg"],
  });
});

test("answers that are cut off, or no QMP at all, are no probe", () => {
  expect(readAnswers(OUTPUT.split("\r\n").slice(0, 2).join("\n"))).toBeUndefined();
  expect(readAnswers("QEMU emulator version 7.2.22")).toBeUndefined();
  expect(readAnswers("")).toBeUndefined();
});
