import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { identify } from "../../../../src/host/process/process-identity.ts";
import {
  allocatedBytes,
  parseCpuTimeMs,
  parseKib,
  processUsage,
} from "../../../../src/host/process/process-usage.ts";

describe("what a process uses", () => {
  test("is read from the kernel's words, whatever the process is called", () => {
    const rollup =
      "5581-7ffd [rollup]\nRss:               12000 kB\nPss:                8123 kB\nPss_Dirty: 1 kB\n";
    expect(parseKib(rollup, "Pss")).toBe(8123 * 1024);
    expect(parseKib("VmHWM:\t   9 kB\nVmRSS:\t   2048 kB\n", "VmRSS")).toBe(2048 * 1024);
    expect(parseKib("", "Pss")).toBeUndefined();
    const times = "S 1 2 2 0 -1 4194304 90 0 0 0 250 75 0 0 20 0 4 0 12345 1 1";
    expect(parseCpuTimeMs(`42 (qemu (x) 7 ) ${times}`)).toBe(3250);
    expect(parseCpuTimeMs("")).toBeUndefined();
  });

  test.runIf(process.platform === "linux")("is told of this process, and not of one that has ended", () => {
    const self = identify(process.pid);
    const usage = processUsage(self);
    expect(usage.memoryKind).toBeDefined();
    expect(usage.memoryBytes).toBeGreaterThan(1024 * 1024);
    expect(usage.cpuTimeMs).toBeGreaterThan(0);
    const reused = processUsage({ ...self, startTime: "1" });
    expect(reused).toEqual({ memoryBytes: undefined, memoryKind: undefined, cpuTimeMs: undefined });
  });
});

test.skipIf(process.platform === "win32")("a sparse file takes less room than its size says", async () => {
  const directory = mkdtempSync(join(tmpdir(), "smolvm-usage-"));
  try {
    const path = join(directory, "disk");
    writeFileSync(path, Buffer.alloc(64 * 1024, 1));
    truncateSync(path, 1024 ** 3);
    const bytes = await allocatedBytes(path);
    expect(bytes).toBeLessThan(1024 ** 2);
    expect(await allocatedBytes(join(directory, "none"))).toBeUndefined();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
