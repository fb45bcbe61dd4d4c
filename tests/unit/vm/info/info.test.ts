import { expect, test } from "vitest";
import { NAME_PATTERN } from "../../../../src/config/schema.ts";
import type { VmSpec } from "../../../../src/config/spec.ts";
import type { VmRecord } from "../../../../src/store/vms.ts";
import { describe as view } from "../../../../src/vm/info/info.ts";
import { generatedName, newId } from "../../../../src/vm/lifecycle/names.ts";

const record = {
  id: "0123456789ab",
  name: "box",
  state: "running",
  labels: { team: "blue" },
  createdAt: 1_000,
  startedAt: 2_000,
  vmm: { pid: 42, startTime: "7", bootId: "b", monitor: { pid: 41, startTime: "6", bootId: "b" } },
  commands: undefined,
  isolation: { tier: "none", whyNotNext: "bubblewrap is not installed", fix: "Install it: apt" },
  template: undefined,
  owner: undefined,
  expiresAt: undefined,
  error: undefined,
  pending: [],
  spec: {
    machine: { backend: "qemu", arch: "x86_64", machine: "microvm", accelerator: "tcg", network: "open" },
    image: "debian",
    imageDigest: "abc",
    diskSizeMib: 2048,
  } as unknown as VmSpec,
} satisfies VmRecord;

const host = { now: 5_000, dataDir: "/data", freeBytes: 1e9, ports: [], taps: new Map() };

test("a running sandbox tells its pid, its uptime and what protects the host from it", () => {
  const info = view(record, host);
  expect(info).toMatchObject({
    pid: 42,
    uptimeMs: 3_000,
    speed: "emulated",
    createdAt: "1970-01-01T00:00:01.000Z",
  });
  expect(info.isolation.note).toContain("outside QEMU's security guarantee");
  expect(info.isolation).toMatchObject({
    least: "auto",
    tier: "none",
    whyNotNext: "bubblewrap is not installed. Install it: apt",
  });
  expect(info.network.note).toContain("host");
});

test("one that does not run has no pid and no uptime, and keeps its fault only in the state error", () => {
  const fault = { code: "AGENT_LOST", message: "crashed" };
  expect(view({ ...record, state: "stopped", error: fault }, host)).toMatchObject({
    pid: undefined,
    uptimeMs: undefined,
    error: undefined,
  });
  expect(view({ ...record, state: "error", error: fault }, host).error).toEqual(fault);
});

test("one that was never started has no isolation yet", () => {
  expect(view({ ...record, state: "created", isolation: undefined }, host).isolation).toMatchObject({
    tier: undefined,
    note: "not started yet",
  });
});

test("a running one warns of a full disk, on which its own cannot grow", () => {
  expect(view(record, host).warning).toBeUndefined();
  const full = { ...host, freeBytes: 4096 };
  expect(view(record, full).warning).toBe(
    "this machine's disk is full: what the sandbox writes is lost. Free some space (df -h '/data'), then: smolvm stop box && smolvm start box",
  );
  expect(view({ ...record, state: "stopped" }, full).warning).toBeUndefined();
});

test("generated names and ids are acceptable and do not repeat", () => {
  const names = Array.from({ length: 50 }, generatedName);
  for (const name of names) expect(name).toMatch(NAME_PATTERN);
  expect(new Set(Array.from({ length: 1000 }, newId)).size).toBe(1000);
});

test("an open network by the door is open, and says why it is no better one", () => {
  const spec = {
    ...record.spec,
    openByDoor: "pasta is not installed",
    networkPolicy: { allow: ["*"], deny: [] },
  };
  const machine = { ...spec.machine, network: "restricted" } as const;
  expect(view({ ...record, spec: { ...spec, machine } }, host).network).toMatchObject({
    mode: "open",
    way: "door",
    whyNotNext: "pasta is not installed",
    note: expect.stringContaining("neither UDP nor ICMP"),
    rules: undefined,
  });
});
