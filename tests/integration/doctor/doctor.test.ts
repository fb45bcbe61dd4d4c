import { appendFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { isOutdated } from "../../../src/doctor/checks/native-sources.ts";
import { renderDoctor } from "../../../src/doctor/render.ts";
import { runDoctor } from "../../../src/doctor/run-doctor.ts";
import { hostArch } from "../../../src/host/hardware/facts.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "smh-"));
  vi.stubEnv("SMOLVM_HOME", dir);
  vi.stubEnv("SMOLVM_BACKEND", "");
  vi.stubEnv("SMOLVM_QEMU", "");
  vi.stubEnv("XDG_RUNTIME_DIR", dir);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(dir, { recursive: true, force: true });
});

const check = async (name: string, options: Parameters<typeof runDoctor>[0] = {}) =>
  (await runDoctor(options)).checks.find((entry) => entry.name === name);

describe("doctor on this host", () => {
  test("looks at everything, and says what to do about what is not good", async () => {
    const report = await runDoctor();
    expect(report).toMatchObject({
      backend_requested: "auto",
      backend_resolved: "qemu",
      system: process.platform,
    });
    expect(report.checks.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        "Platform",
        "Backend",
        "QEMU binary",
        "Accelerator",
        "Speed",
        "Isolation",
        "Network",
      ]),
    );
    for (const { name, status, detail, fix } of report.checks) {
      expect(detail, name).not.toBe("");
      if (status !== "pass") expect(fix, name).toBeTruthy();
    }
    expect(renderDoctor(report)).toContain("✅ Platform: ");
  });

  test("a home without the default image says how to build it", async () => {
    expect(await check("Image")).toEqual({
      name: "Image",
      status: "warn",
      detail: "the default image 'debian' is not built",
      fix: "smolvm image build debian",
    });
  });

  test("a host without QEMU fails with the seeds' sentence and the command that helps", async () => {
    vi.stubEnv("SMOLVM_QEMU", join(dir, "qemu-system-x86_64"));
    const report = await runDoctor();
    expect(report.summary.ok).toBe(false);
    expect(report.checks.find(({ name }) => name === "QEMU binary")).toMatchObject({
      status: "fail",
      detail: expect.stringMatching(/^qemu-system-\w+ not found$/),
      fix: expect.stringMatching(/ is '.*', which is no such program\. Correct it, or: unset SMOLVM_QEMU$/),
    });
  });

  test("firecracker, when asked for, is what is checked", async () => {
    const report = await runDoctor({ backend: "firecracker" });
    expect(report).toMatchObject({ backend_requested: "firecracker", backend_resolved: "firecracker" });
    expect(report.checks.find(({ name }) => name === "Backend")).toMatchObject({ status: "fail" });
    expect(report.checks.some(({ name }) => name === "qemu-img")).toBe(false);
  });

  test("a name that is no backend is refused like everywhere else", async () => {
    await expect(runDoctor({ backend: "xen" })).rejects.toMatchObject({ code: "BACKEND_UNSUPPORTED" });
    vi.stubEnv("SMOLVM_BACKEND", "xen");
    await expect(runDoctor()).rejects.toMatchObject({ code: "BACKEND_UNSUPPORTED" });
  });

  test("strict makes warnings count", async () => {
    const report = await runDoctor({ strict: true }); // the image is missing: a warning at least
    expect(report.summary).toMatchObject({ ok: false, strict: true });
  });
});

describe("the command smolvm on PATH", () => {
  test("that is another program is told, with what puts this one first", async () => {
    writeFileSync(join(dir, "smolvm"), "#!/bin/sh\necho another\n", { mode: 0o755 });
    vi.stubEnv("PATH", `${dir}:${process.env.PATH}`);
    expect(await check("Command")).toMatchObject({
      status: "warn",
      detail: expect.stringContaining(`${dir}/smolvm is another program of that name`),
      fix: expect.stringMatching(/export PATH='.*\/bin':\$PATH$/),
    });
    vi.stubEnv("PATH", `${process.cwd()}/bin:${process.env.PATH}`);
    expect(await check("Command")).toMatchObject({ status: "pass" });
  });
});

describe("the native programs of a checkout", () => {
  test("are outdated when a source has changed since they were built", () => {
    const arch = hostArch()!;
    for (const part of [
      "Cargo.toml",
      "Cargo.lock",
      "guest",
      "monitor",
      "fileserver",
      "wire",
      "scripts/build-native.sh",
      `native/.sources-${arch}`,
    ])
      cpSync(part, join(dir, part), { recursive: true });
    expect(isOutdated(dir, arch)).toBe(false);
    appendFileSync(join(dir, "monitor/src/main.rs"), "// changed\n");
    expect(isOutdated(dir, arch)).toBe(true);
    rmSync(join(dir, "guest"), { recursive: true }); // an installed package has none
    expect(isOutdated(dir, arch)).toBe(false);
  });
});
