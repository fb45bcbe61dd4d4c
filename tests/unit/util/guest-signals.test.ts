import { expect, test } from "vitest";
import { signalName, signalNumber } from "../../../src/util/guest-signals.ts";

test.each([
  ["SIGTERM", 15],
  ["term", 15],
  ["Kill", 9],
  ["SIGCHLD", 17],
  ["cld", 17],
  ["SIGIOT", 6],
  ["poll", 29],
  ["9", 9],
  [1, 1],
  [64, 64],
  ["SIGRTMIN", 34],
  ["rtmin+3", 37],
  ["SIGRTMAX-1", 63],
])("knows %s as Linux's number %i on every host", (signal, number) => {
  expect(signalNumber(signal)).toBe(number);
});

test.each([
  "",
  "SIG",
  "SIGNONE",
  "0",
  "65",
  "-9",
  "999",
  "SIGRTMIN-1",
  "RTMIN+31",
  "RTMAX+1",
  0,
  65,
  -1,
  1.5,
  Number.NaN,
])("refuses %s", (signal) => {
  expect(() => signalNumber(signal)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
});

test("names every number that a guest might send", () => {
  expect([1, 9, 15, 31, 34, 64].map(signalName)).toEqual([
    "SIGHUP",
    "SIGKILL",
    "SIGTERM",
    "SIGSYS",
    "SIGRTMIN+0",
    "SIGRTMIN+30",
  ]);
  expect(signalName(32)).toBe("SIG32");
  expect(signalName(4_000_000_000)).toBe("SIG4000000000");
});
