import { expect, test } from "vitest";
import { portsWithoutHost } from "../../../../src/backends/qemu/free-ports.ts";

test("of the character devices those are found that are ports, and have no host", () => {
  const chardevs = [
    { label: "channel0", filename: "unix:/run/a/ch0,server=on" },
    { label: "channel1", filename: "disconnected:unix:/run/a/ch1,server=on" },
    { label: "console", filename: "stdio" },
    { label: "qmp", filename: "disconnected:unix:/run/a/ctl,server=on" },
    { label: "channel12", filename: "disconnected:unix:/run/a/ch12,server=on" },
    { label: "channel2", filename: "disconnected:tcp:127.0.0.1:1" },
    { label: 7 },
  ];
  expect(portsWithoutHost(chardevs)).toEqual([1, 12]);
  expect(portsWithoutHost(undefined)).toEqual([]);
});
