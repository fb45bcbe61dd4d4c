/**
 * The limits of an ordinary user's sandboxes: her systemd manager, a real one, makes a scope for each. For root, on a host with
 * cgroup v2 and a KVM that was not booted by systemd.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { homeHash } from "../../../src/host/files/paths.ts";
import { runProgram } from "../../../src/host/process/run.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { BACKENDS } from "../../helpers/backends.ts";
import { filesSeenBy } from "../../helpers/inside.ts";
import { openKvmTo } from "../../helpers/kvm-group.ts";
import { NOBODY, type OrdinaryUser, withOrdinaryUser } from "../../helpers/ordinary-user.ts";
import { scaled } from "../../helpers/speed.ts";
import { startUserManager, type UserManager } from "../../helpers/user-manager.ts";
import { until } from "../../helpers/wait.ts";

const ALL = ["memory", "cpu", "pids"];
let manager: UserManager;
beforeAll(() => openKvmTo("group"));
afterEach(() => manager.stop());

/** What `smolvm info` says of a started sandbox of hers. */
async function start({ as, small }: OrdinaryUser, name: string) {
  const { error } = await as("create", "--start", "--isolation", "user", ...small, "--name", name);
  expect(error).toBeNull();
  return (await as("info", name)).data;
}

const scopeOf = ({ home }: OrdinaryUser, { id }: { id: string }): string =>
  manager.scope(`smolvm-${homeHash(home)}-${id}.scope`);

// biome-ignore lint/suspicious/noExplicitAny: a check of the report
const checkOf = (report: any, name: string): any =>
  report.data.checks.find((check: { name: string }) => check.name === name);

const loggedIn = (backend: string, use: (user: OrdinaryUser) => Promise<void>): Promise<void> =>
  withOrdinaryUser({ backend, within: manager.within, runtimeDir: manager.runtimeDir }, use);

/** Units of ours that her manager knows, also those that failed. */
async function unitsOfOurs(): Promise<string> {
  const deadline = Deadline.of("systemctl", { timeoutMs: scaled(10_000) });
  const argv = ["setpriv", "--reuid", `${NOBODY}`, "--regid", `${NOBODY}`, "--clear-groups"];
  argv.push("env", `XDG_RUNTIME_DIR=${manager.runtimeDir}`, "systemctl", "--user", "list-units", "--all");
  return (await runProgram([...argv, "--plain", "--no-legend", "smolvm-*"], { deadline })).stdout;
}

describe.each(BACKENDS)("on %s, a user's VMM", (backend) => {
  test("is in a scope of its own that limits it, and that goes with it, as doctor and info say", async () => {
    manager = await startUserManager(ALL);
    await loggedIn(backend, async (user) => {
      const box = await start(user, "box");
      const memoryMib = box.memSizeMib + (backend === "qemu" ? 384 : 128);
      const limits = { memoryMib, cpus: box.vcpuCount + 1, pids: box.vcpuCount + 128 };
      expect(box.isolation).toMatchObject({
        tier: "user",
        limits,
        note: expect.stringContaining("with limits on memory, CPU time and processes"),
        whyNotNext: expect.stringContaining("for root"),
      });
      expect(box.isolation.whyNotLimited).toBeUndefined();
      const scope = scopeOf(user, box);
      const value = (file: string): string => readFileSync(join(scope, file), "utf8").trim();
      expect(value("memory.max")).toBe(String(memoryMib * 2 ** 20));
      expect(value("cpu.max")).toBe(`${limits.cpus * 100_000} 100000`);
      expect(value("pids.max")).toBe(String(limits.pids));
      if (existsSync(join(scope, "memory.swap.max"))) expect(value("memory.swap.max")).toBe("0");
      // The VMM, its monitor and what is between them.
      const members = value("cgroup.procs").split("\n");
      expect(members).toContain(String(box.pid));
      expect(members.length).toBeGreaterThanOrEqual(3);
      // What could lift them is nothing that the VMM sees.
      expect(filesSeenBy(box.pid).filter((path) => /^\/sys\/|\/systemd\//.test(path))).toEqual([]);

      // The same name again, as soon as it is free.
      expect((await user.as("restart", "box")).error).toBeNull();
      const again = (await user.as("info", "box")).data;
      expect(again.isolation.limits).toEqual(limits);
      expect(readFileSync(`/proc/${again.pid}/cgroup`, "utf8").trim()).toMatch(
        /smolvm-[0-9a-f]+-[0-9a-f]+\.scope$/,
      );

      expect(checkOf(await user.as("doctor", "--backend", backend), "Limits")).toMatchObject({
        status: "pass",
        detail: expect.stringMatching(/^on memory, CPU time and processes, .*loginctl enable-linger/),
      });

      // All at once, as when the machine's monitor crashes.
      writeFileSync(join(scope, "cgroup.kill"), "1");
      await until("the scope is gone", () => !existsSync(scope));
      expect((await user.as("ls")).data).toMatchObject([{ name: "box", state: "error" }]);
      expect((await user.as("rm", "box")).error).toBeNull();
      expect(await unitsOfOurs()).toBe("");
    });
  });
});

const [first] = BACKENDS;

test("a VMM in a scope gets no more processes than its limit, and is ended over its memory", async () => {
  manager = await startUserManager(ALL);
  await loggedIn(first!, async (user) => {
    const box = await start(user, "box");
    const scope = scopeOf(user, box);
    const deadline = Deadline.of("forking", { timeoutMs: scaled(20_000) });
    const forks = join(import.meta.dirname, "../../helpers/fork-until-refused.py");
    const { stdout } = await runProgram(["python3", forks, scope], { deadline });
    const [forked, errno] = stdout.trim().split(" ").map(Number);
    expect(errno).toBe(constants.errno.EAGAIN);
    expect(forked).toBeLessThan(box.isolation.limits.pids);
    // What a guest and its VMM use never comes near: so the limit comes down to them, and then the guest wants more.
    const used = [...readFileSync(join(scope, "memory.stat"), "utf8").matchAll(/^(?:anon|shmem) (\d+)$/gm)];
    const bytes = used.reduce((sum, [, value]) => sum + Number(value), 0);
    writeFileSync(join(scope, "memory.max"), String(bytes + 32 * 2 ** 20));
    const script = "mount -t tmpfs -o size=90% t /mnt && dd if=/dev/zero of=/mnt/x bs=1M count=180";
    await user.as("exec", "box", "--", "sh", "-c", script).catch(() => {}); // its machine goes, and tells then
    await until("the scope is gone", () => !existsSync(scope));
    // Its monitor shares the limit, and may be killed with it: then nobody wrote down the signal.
    const { state, error } = (await user.as("info", "box")).data;
    expect({ state, error }).toMatchObject({
      state: "error",
      error: { message: expect.stringContaining("its machine was killed") },
    });
  });
});

test("where systemd delegates no CPU controller, that limit is missing, and how to get it is said", async () => {
  manager = await startUserManager(["memory", "pids"]);
  // As after `su`: nothing in the environment says where the manager is.
  await withOrdinaryUser({ backend: first!, within: manager.within }, async (user) => {
    const box = await start(user, "box");
    expect(Object.keys(box.isolation.limits)).toEqual(["memoryMib", "pids"]);
    expect(box.isolation.note).toContain("with limits on memory and processes");
    expect(box.isolation.whyNotLimited).toMatch(/CPU time .*Delegate=cpu memory pids/);
    expect(existsSync(join(scopeOf(user, box), "cpu.max"))).toBe(false);
    expect(checkOf(await user.as("doctor"), "Limits")).toMatchObject({
      status: "warn",
      detail: expect.stringContaining("on memory and processes"),
      fix: expect.stringContaining("Delegate=cpu memory pids"),
    });
  });
});

test("with a manager that does not answer, or that is gone, a sandbox starts without limits, and says why", async () => {
  manager = await startUserManager(ALL);
  await loggedIn(first!, async (user) => {
    manager.process.kill("SIGSTOP");
    const silent = await start(user, "silent");
    expect(silent.isolation).toMatchObject({
      tier: "user",
      whyNotLimited: expect.stringContaining("within"),
    });
    expect(silent.isolation.limits).toBeUndefined();
    expect(checkOf(await user.as("doctor"), "Limits")).toMatchObject({
      status: "warn",
      detail: expect.stringMatching(/^none, because .*within/),
    });
    manager.process.kill("SIGKILL");
    const alone = await start(user, "alone");
    expect(alone.isolation).toMatchObject({ whyNotLimited: expect.stringContaining("ECONNREFUSED") });
    expect(alone.isolation.limits).toBeUndefined();
  });
});

test("a sandbox ends with its user's manager, as at a logout, and its record says so", async () => {
  manager = await startUserManager(ALL);
  await loggedIn(first!, async (user) => {
    const box = await start(user, "box");
    manager.process.kill("SIGTERM");
    await until("it has ended", () => !existsSync(scopeOf(user, box)));
    expect((await user.as("ls")).data).toMatchObject([
      { name: "box", state: expect.stringMatching(/error|stopped/) },
    ]);
  });
});
