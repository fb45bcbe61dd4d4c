/**
 * What a user sees when a Firecracker in its jail ends, or never begins, whoever is to blame; and that nothing of it is left but the
 * sandbox, with its files and its uid. Each sandbox has a tap; the home is on a small file system of its own. Without a jail:
 * wrong-firecracker.test.ts.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, rmSync, statfsSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { locateFirecracker, locateJailer } from "../../../src/backends/firecracker/locate.ts";
import { readEnvironment } from "../../../src/host/environment.ts";
import { cli, cliJson } from "../../helpers/cli.ts";
import { recordOf } from "../../helpers/enclosed.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { makeLabTaps, withTap } from "../../helpers/lab-taps.ts";
import { traces } from "../../helpers/traces.ts";
import { until } from "../../helpers/wait.ts";

const home = useTempHome();
const data = join(home, "data");
const OPTIONS = [
  "--backend",
  "firecracker",
  "--isolation",
  "jail",
  "--memory",
  "256M",
  ...withTap("firecracker"),
];
const env = readEnvironment(process.env);
const FIRECRACKER = locateFirecracker(env)!;
const JAILER = locateJailer(FIRECRACKER, env)!;

let nothing: ReturnType<typeof traces>;

beforeAll(() => {
  makeLabTaps();
  mkdirSync(data);
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=96m,mode=700", "none", data]);
  nothing = traces(home);
});
afterAll(() => execFileSync("umount", ["--lazy", data])); // this process has the store open
beforeEach(() => create());
afterEach(async () => {
  // What there is, no command has to come across first.
  expect((await cli(["gc"])).text).toBe("Nothing was left behind.\n");
  expect(traces(home)).toEqual({ ...nothing, directories: 1, sockets: 1, uids: 1 });
  await cli(["rm", "-f", "box"]);
  expect(traces(home)).toEqual(nothing);
});

async function create(): Promise<void> {
  expect(await cliJson(["create", "--name", "box", ...OPTIONS])).toMatchObject({ ok: true });
}

/** Starts it with these programs in the places of Firecracker and its jailer: the error. */
async function failedStart(programs: string, options: readonly string[] = []) {
  const run = await cliJson(["start", "box", ...options], {
    env: { SMOLVM_FIRECRACKER: join(programs, "firecracker") },
  });
  expect(run.ok).toBe(false);
  return run.error;
}

/** A directory with a Firecracker and a jailer: the real ones, where no script is given. */
function programs(scripts: { firecracker?: string; jailer?: string }): string {
  const directory = join(home, "programs");
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory);
  for (const [name, real] of [
    ["firecracker", FIRECRACKER],
    ["jailer", JAILER],
  ] as const) {
    const path = join(directory, name);
    const script = scripts[name];
    if (script === undefined) {
      symlinkSync(real, path);
      continue;
    }
    writeFileSync(path, `#!/bin/bash\n[ "$1" = --version ] && exec '${real}' --version\n${script}\n`);
    chmodSync(path, 0o755);
  }
  return directory;
}

/** What `ls` and `info` say of it. */
async function told() {
  const [{ state }] = (await cliJson(["ls"])).data;
  return { state, error: (await cliJson(["info", "box"])).data.error };
}

describe("a Firecracker in its jail", () => {
  /** Runs the sandbox: its id, and the processes of its machine and of its monitor. */
  async function running() {
    expect(await cliJson(["start", "box"])).toMatchObject({ ok: true });
    const { data: info } = await cliJson(["info", "box"]);
    expect(info).toMatchObject({ isolation: { tier: "jail" }, network: { tap: expect.any(String) } });
    return { id: info.id as string, vmm: info.pid as number, monitor: recordOf(info).vmm!.monitor.pid };
  }

  test("that is killed is a sandbox that crashed, and says how to start it", async () => {
    const { vmm } = await running();
    const command = cliJson(["exec", "box", "--", "sleep", "600"]);
    await until(
      "the command runs",
      async () => (await cli(["exec", "box", "--", "pgrep", "sleep"])).code === 0,
    );
    process.kill(vmm, "SIGKILL");
    expect((await command).error).toMatchObject({ code: "OUTCOME_UNKNOWN" });
    expect(await told()).toEqual({
      state: "error",
      error: { code: "AGENT_LOST", message: "sandbox 'box' crashed: its machine was killed by signal 9" },
    });
    expect((await cliJson(["exec", "box", "--", "true"])).error).toMatchObject({
      code: "VM_STATE",
      hint: "Start it: smolvm start box",
    });
  });

  test("whose monitor is killed dies with it", async () => {
    const { id, monitor } = await running();
    process.kill(monitor, "SIGKILL");
    await until("all have ended", () => processesNaming(id).length === 0);
    expect(await told()).toMatchObject({
      state: "error",
      error: {
        message: expect.stringContaining("crashed: its machine was killed together with its monitor"),
      },
    });
  });

  test("that is killed while what is around it hangs is cleared up all the same", async () => {
    const { id, vmm, monitor } = await running();
    const around = processesNaming(id)
      .map((line) => Number.parseInt(line, 10))
      .filter((pid) => pid !== vmm && pid !== monitor);
    expect(around.length).toBeGreaterThan(0);
    for (const pid of around) process.kill(pid, "SIGSTOP");
    process.kill(vmm, "SIGKILL");
    expect(await told()).toMatchObject({ state: "error", error: { code: "AGENT_LOST" } });
  });

  test("whose guest panics is a sandbox that crashed, in its kernel's words", async () => {
    // The fast kernel has no key that makes it panic.
    await cli(["rm", "box"]);
    await cliJson(["create", "--name", "box", "--kernel", "debian", ...OPTIONS]);
    await running();
    await cli(["exec", "box", "--", "sh", "-c", "echo c >/proc/sysrq-trigger"]);
    await until("it is noticed", async () => (await told()).state === "error");
    expect((await told()).error.message).toBe(
      "sandbox 'box' crashed: the guest's kernel panicked: sysrq triggered crash",
    );
    expect((await cli(["logs", "box"])).text).toContain("Kernel panic - not syncing: sysrq triggered crash");
  });
});

describe("a start in a jail", () => {
  test("of some other program is refused in the jailer's words", async () => {
    expect(await failedStart(programs({ firecracker: "exec sleep 600" }))).toMatchObject({
      code: "VMM_FAILED",
      message: expect.stringContaining("Jailer error"),
    });
    expect(await told()).toMatchObject({ state: "error", error: { code: "VMM_FAILED" } });
  });

  test("whose jailer is killed in the middle of copying Firecracker is an error at once", async () => {
    // SIGXFSZ, after half a megabyte of three
    const error = await failedStart(programs({ jailer: `ulimit -f 512; exec '${JAILER}' "$@"` }));
    expect(error).toMatchObject({ code: "VMM_FAILED", message: expect.stringMatching(/^firecracker /) });
    expect(await told()).toMatchObject({ state: "error", error: { code: "VMM_FAILED" } });
  });

  test("whose Firecracker never opens its API is given up in time", async () => {
    const elsewhere = `for word in "$@"; do [ "$last" = --api-sock ] && word=$word.other; last=$word; words+=("$word"); done`;
    const error = await failedStart(programs({ jailer: `${elsewhere}\nexec '${JAILER}' "\${words[@]}"` }), [
      "--timeout",
      "10s",
    ]);
    expect(error).toMatchObject({ code: "TIMEOUT", hint: expect.stringContaining("--timeout") });
    expect(await told()).toMatchObject({ state: "error", error: { code: "TIMEOUT" } });
  });

  test("on a full disk says so, and works once there is room", async () => {
    const filler = join(data, "filler");
    const leave = (bytes: number): void => {
      rmSync(filler, { force: true });
      const { bsize, bavail } = statfsSync(data);
      writeFileSync(filler, Buffer.alloc(bsize * bavail - bytes));
    };
    leave(1_500_000); // enough for notes, and not for the jailer's copy of Firecracker
    expect((await cliJson(["start", "box"])).error).toMatchObject({
      code: "NO_SPACE",
      message: expect.stringContaining("this machine's disk is full"),
      hint: expect.stringContaining(`df -h '${join(data, "smolvm")}'`),
    });
    expect(await told()).toMatchObject({ state: "error", error: { code: "NO_SPACE" } });
    leave(0);
    expect((await cliJson(["start", "box"])).error).toMatchObject({ code: "NO_SPACE" });
    rmSync(filler);
    expect(await cliJson(["start", "box"])).toMatchObject({ ok: true });
    await cli(["stop", "box"]);
  });
});
