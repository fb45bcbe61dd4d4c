import { describe, expect, test } from "vitest";
import type { QemuProbe } from "../../../src/backends/qemu/probe.ts";
import type { BackendSelection } from "../../../src/backends/select.ts";
import { type CheckResult, type DoctorContext, fail, pass, warn } from "../../../src/doctor/check.ts";
import { backend, kvm } from "../../../src/doctor/checks/backend.ts";
import { limits } from "../../../src/doctor/checks/isolation.ts";
import { nodeResult, platform } from "../../../src/doctor/checks/platform.ts";
import { qemuBinary } from "../../../src/doctor/checks/qemu.ts";
import { accelerator, speed } from "../../../src/doctor/checks/speed.ts";
import { compareBackend, compareIsolation, compareSpeed, type Seen } from "../../../src/doctor/compare.ts";
import { renderDoctor } from "../../../src/doctor/render.ts";
import { type DoctorReport, summarize } from "../../../src/doctor/run-doctor.ts";
import { SmolVMError } from "../../../src/errors.ts";
import { readEnvironment } from "../../../src/host/environment.ts";
import { LIMITS } from "../../../src/isolation/limits.ts";
import type { EnclosurePlan } from "../../../src/isolation/tier.ts";
import { isOlder } from "../../../src/util/versions.ts";

const QEMU: BackendSelection = {
  backend: "qemu",
  requested: "qemu",
  candidates: [{ name: "qemu", usable: true, reason: "QEMU 9.0.0 at /usr/bin/qemu-system-x86_64" }],
};
const NO_KVM = { state: "absent", detail: "/dev/kvm does not exist", fix: "lsmod | grep kvm" } as const;

const NOTHING_AROUND = { tier: "none", ownUid: false, limited: false } as const;

const context = (change: Partial<DoctorContext> = {}): DoctorContext => ({
  env: readEnvironment({}),
  paths: { dataDir: "/d", cacheDir: "/c", runtimeDir: "/r" },
  platform: "linux",
  arch: "x86_64",
  hostArch: "x86_64",
  root: false,
  kvm: { state: "usable", detail: "enabled", fix: undefined },
  qemu: undefined,
  backend: "qemu",
  selection: QEMU,
  accelerator: "kvm",
  isolation: { tier: "user", ownUid: false, limited: false },
  ...change,
});

const report = (checks: CheckResult[], strict = false): DoctorReport => ({
  backend_requested: "auto",
  backend_resolved: "qemu",
  system: "linux",
  arch: "x86_64",
  checks,
  summary: summarize(checks, strict),
});

describe("doctor's check of limits", () => {
  const scopes = { manager: "/m", limits: LIMITS, lingers: true };
  const check = (change: Partial<EnclosurePlan>) =>
    limits(context({ isolation: { tier: "user", ownUid: false, limited: false, ...change } }));

  test("names them, and says when what is detached ends", () => {
    const all = "on memory, CPU time and processes, by your systemd manager";
    expect(check({ scopes })).toEqual(pass("Limits", all));
    expect(check({ scopes: { ...scopes, lingers: false } })).toEqual(
      pass(
        "Limits",
        `${all}; what is detached ends when you have logged out (to keep it: loginctl enable-linger)`,
      ),
    );
  });

  test("warns where they are not all, or none", () => {
    const whyNotLimited = { reason: "no cpu controller", fix: "Delegate" };
    expect(check({ scopes: { ...scopes, limits: ["memoryMib", "pids"] }, whyNotLimited })).toEqual(
      warn(
        "Limits",
        "on memory and processes, by your systemd manager; not more, because no cpu controller",
        "Delegate",
      ),
    );
    expect(check({ whyNotLimited })).toEqual(warn("Limits", "none, because no cpu controller", "Delegate"));
  });

  test("says nothing where the tier does", () => {
    expect(check({ tier: "jail", limited: true })).toBeUndefined();
  });
});

describe("doctor's checks", () => {
  test("a backend that was asked for and runs is good", () => {
    expect(backend(context())).toEqual(pass("Backend", "qemu"));
  });

  test("a backend that auto fell back to is a warning that says why", () => {
    const selection: BackendSelection = {
      ...QEMU,
      requested: "auto",
      candidates: [{ name: "firecracker", usable: false, reason: "no KVM" }, ...QEMU.candidates],
    };
    expect(backend(context({ selection }))).toEqual(
      warn("Backend", "qemu (firecracker: no KVM)", "To choose it on purpose: export SMOLVM_BACKEND=qemu"),
    );
  });

  test("no usable backend is a failure with the error's own hint", () => {
    const error = new SmolVMError("BACKEND_UNAVAILABLE", "none", { hint: "apt" });
    expect(backend(context({ selection: { error } }))).toEqual(fail("Backend", "none", "apt"));
  });

  test("missing KVM fails Firecracker and only slows QEMU down", () => {
    expect(kvm(context({ kvm: NO_KVM }))).toMatchObject({ status: "warn", fix: "lsmod | grep kvm" });
    expect(kvm(context({ kvm: NO_KVM, backend: "firecracker" }))).toMatchObject({ status: "fail" });
    expect(kvm(context())).toEqual(pass("KVM support", "enabled"));
    expect(kvm(context({ platform: "darwin" }))).toBeUndefined();
  });

  test("emulation is named with its reason and its price", () => {
    const emulated = context({ accelerator: "tcg", kvm: NO_KVM });
    expect(accelerator(emulated)).toEqual(pass("Accelerator", "tcg (/dev/kvm does not exist)"));
    expect(speed(emulated)).toMatchObject({ status: "warn", fix: "lsmod | grep kvm" });
    expect(speed(context())).toEqual(pass("Speed", "hardware"));
  });

  test("what QEMU said of Windows' hypervisor is the reason of emulation, and the command that turns it on the fix", () => {
    const noHardware = { reason: "QEMU cannot use whpx: no WinHvPlatform.dll", hint: "Enable-It" };
    const emulated = context({ platform: "win32", accelerator: "tcg", noHardware });
    expect(accelerator(emulated)).toEqual(pass("Accelerator", `tcg (${noHardware.reason})`));
    expect(speed(emulated)).toMatchObject({ status: "warn", fix: "Enable-It" });
  });

  test("a QEMU without microvm's firmware is a warning", async () => {
    const probe = { version: "10.2.0", target: "x86_64", sandbox: true } as QemuProbe;
    const trial = { microvm: "could not load PC BIOS 'qboot.rom'" };
    const qemu = { path: "/q", origin: "named", probe, trial } as const;
    expect(await qemuBinary(context({ qemu }))).toMatchObject({
      status: "warn",
      detail: expect.stringContaining("sandboxes have q35"),
    });
  });

  test("the platforms that sandboxes run on", () => {
    expect(platform(context())).toEqual(pass("Platform", "linux"));
    expect(platform(context({ platform: "win32" }))).toMatchObject({ status: "pass" });
    expect(platform(context({ platform: "freebsd" }))).toMatchObject({ status: "warn" });
  });

  test.each([
    ["22.18.0", "pass"],
    ["22.17.9", "fail"],
    ["24.0.0", "pass"],
    ["20.20.0", "fail"],
  ])("Node %s is a %s", (version, status) => {
    expect(nodeResult(version).status).toBe(status);
  });

  test("versions are compared by their numbers", () => {
    expect(isOlder("7.2.22", "10.0")).toBe(true);
    expect(isOlder("9.0.4", "9.0.4")).toBe(false);
    expect(isOlder("6.2", "6.2.0")).toBe(false);
  });
});

describe("what a booted sandbox shows, against what was predicted", () => {
  const guards = {
    uid: 1000,
    seccomp: true,
    noNewPrivileges: true,
    capable: false,
    ownNamespaces: ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"],
    usesKvm: true,
  };
  const seen: Seen = {
    backend: "qemu",
    accelerator: "kvm",
    guards,
    tier: "user",
    seesStore: false,
    limits: {},
    slowdown: 1.1,
    interfaces: ["lo"],
    ownKernel: true,
  };
  const probe = { sandbox: true } as QemuProbe;
  const predicted = context({ qemu: { path: "/q", origin: "distribution", probe, trial: {} } });
  const statuses = (checks: CheckResult[]): string[] => checks.map(({ status }) => status);

  test("is good when it is the same", () => {
    expect(statuses(compareBackend(predicted, seen))).toEqual(["pass", "pass"]);
    expect(compareSpeed(predicted, seen)).toEqual(pass("Speed measured", "as fast as this machine"));
    expect(compareIsolation(predicted, seen)).toMatchObject({
      status: "pass",
      detail: expect.stringContaining("seccomp"),
    });
  });

  test("fails when KVM was predicted and its process has no machine of KVM's, and the reverse", () => {
    const without = { ...seen, guards: { ...guards, usesKvm: false } };
    expect(compareBackend(predicted, without)[1]).toMatchObject({
      status: "fail",
      detail: "tcg, and kvm was predicted",
    });
    expect(compareBackend(context({ accelerator: "tcg" }), seen)[1]).toMatchObject({ status: "fail" });
    expect(compareBackend(context({ accelerator: undefined }), seen)[1]).toMatchObject({ status: "pass" });
    expect(compareBackend(context({ backend: "firecracker" }), seen)[0]).toMatchObject({ status: "fail" });
  });

  test("believes what QEMU was told where processes cannot be looked at", () => {
    const mac = { ...seen, accelerator: "hvf", guards: undefined, tier: "none" } as const;
    const onMac = context({ platform: "darwin", accelerator: "hvf", isolation: NOTHING_AROUND });
    expect(compareBackend(onMac, mac)[1]).toMatchObject({ status: "pass" });
    expect(compareIsolation(onMac, mac)).toMatchObject({ status: "pass" });
  });

  test("fails when the speed is of another class", () => {
    const emulated = context({ accelerator: "tcg" });
    expect(compareSpeed(predicted, { ...seen, slowdown: 16 })).toMatchObject({
      status: "fail",
      detail: "16 times slower than this machine, and hardware was predicted",
    });
    expect(compareSpeed(emulated, { ...seen, slowdown: 16 }).status).toBe("pass");
    expect(compareSpeed(emulated, { ...seen, slowdown: 1.2 }).status).toBe("fail");
    expect(compareSpeed(predicted, { ...seen, slowdown: undefined }).status).toBe("pass");
  });

  test.each([
    ["a kernel that is this machine's", { ownKernel: false }],
    ["a network card that it was not given", { interfaces: ["lo", "eth0"] }],
    ["no filter where one was promised", { guards: { ...guards, seccomp: false } }],
    ["rights that it should not have", { guards: { ...guards, capable: true } }],
    ["another tier than was predicted", { tier: "none" as const }],
    ["a namespace of this machine's", { guards: { ...guards, ownNamespaces: ["mnt", "user", "net"] } }],
    ["a way to new privileges", { guards: { ...guards, noNewPrivileges: false } }],
    ["a VMM that sees the store", { seesStore: true }],
  ])("fails for %s", (_what, change) => {
    expect(compareIsolation(predicted, { ...seen, ...change }).status).toBe("fail");
  });

  test("a jail has a uid of its own and limits", () => {
    const jail = context({ root: true, isolation: { tier: "jail", ownUid: true, limited: true } });
    const all = { memoryMib: 512, cpus: 2, pids: 129 };
    const jailed = { ...seen, tier: "jail", limits: all, guards: { ...guards, uid: 0x7000_0001 } } as const;
    expect(compareIsolation(jail, jailed)).toMatchObject({
      status: "pass",
      detail: expect.stringContaining("the uid 1879048193, limits on memory"),
    });
    expect(compareIsolation(jail, { ...jailed, limits: { memoryMib: 512, pids: 129 } }).status).toBe("fail");
    expect(compareIsolation(jail, { ...jailed, guards: { ...guards, uid: 0 } }).status).toBe("fail");
  });

  test("root's rights are as was said, when root runs it without an enclosure", () => {
    const root = { ...seen, guards: { ...guards, capable: true, ownNamespaces: [] }, tier: "none" } as const;
    const predicted = context({ root: true, isolation: NOTHING_AROUND });
    expect(compareIsolation(predicted, root).status).toBe("pass");
    expect(compareIsolation(context({ root: true }), { ...root, tier: "user" }).status).toBe("fail");
  });
});

describe("doctor's verdict", () => {
  const mixed = [pass("A", "a"), warn("B", "b", "do b"), pass("C", "c")];

  test("warnings are fine, unless strict", () => {
    expect(summarize(mixed, false)).toEqual({ failures: 0, warnings: 1, ok: true, strict: false });
    expect(summarize(mixed, true)).toEqual({ failures: 0, warnings: 1, ok: false, strict: true });
  });

  test("a failure is never fine", () => {
    expect(summarize([fail("A", "a")], false)).toMatchObject({ failures: 1, ok: false });
  });
});

describe("doctor's lines", () => {
  test("each thing has a mark, and what is not good its fix below", () => {
    expect(
      renderDoctor(report([pass("Platform", "linux"), warn("B", "b", "do b"), fail("C", "c", "do c")])),
    ).toMatchInlineSnapshot(`
      "✅ Platform: linux
      ⚠️  B: b
         fix: do b
      ❌ C: c
         fix: do c

      1 failure, 1 warning: not ready: fix the failures first.
      "
    `);
  });

  test("a good host is told so in one line", () => {
    expect(renderDoctor(report([pass("Platform", "linux")]))).toBe(
      "✅ Platform: linux\n\nEverything is ready.\n",
    );
  });

  test("colours are only there when asked for", () => {
    const checks = [warn("B", "b", "do b")];
    expect(renderDoctor(report(checks))).not.toContain("\u001b");
    expect(renderDoctor(report(checks), { color: true })).toContain("\u001b[36m");
  });
});
