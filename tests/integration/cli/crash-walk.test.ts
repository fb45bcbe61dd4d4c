/**
 * Kills smolvm by SIGKILL at every step of every verb, and looks at what the next commands say and leave. Each place is
 * named by what was noted in the journal (src/store/journal.ts) right before or after it. On the first of SMOLVM_TEST_BACKENDS.
 *
 * In the lab, whose machine is ours, its sandboxes have taps. There every boot takes seconds, so without SMOLVM_TEST_LONG the walk
 * is a sample: for each kind of thing that a VMM in a jail has on the host, the place at which it has just come or is about to
 * go, and nobody has written that down (SAMPLE). All the others are reached on QEMU by every run.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../../src/backends/features.ts";
import type { BackendName } from "../../../src/config/spec.ts";
import { STEPS } from "../../../src/store/journal.ts";
import { BACKENDS, hasSlirp } from "../../helpers/backends.ts";
import { CLI, cli, startCli } from "../../helpers/cli.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { IN_LAB, makeLabTaps, withTap } from "../../helpers/lab-taps.ts";
import { seeded } from "../../helpers/random.ts";
import { scaled } from "../../helpers/speed.ts";
import { changeStore } from "../../helpers/store-file.ts";
import { traces } from "../../helpers/traces.ts";
import { until } from "../../helpers/wait.ts";
import { dieAt, done, states } from "../../helpers/walk.ts";

const home = useTempHome();
const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";

/** What this verb's author may die at, in the order in which it comes by. */
const WALK = {
  create: ["after create:files", "before created"],
  start: [
    "before start:sockets",
    "after start:sockets",
    ...(IN_LAB ? ["after tap"] : []),
    "before start:enclosure",
    "after start:enclosure",
    "after uid",
    ...(IN_LAB ? ["after tap owner"] : []),
    "after cgroup",
    "before start:launch",
    "after start:launch",
    "before vmm",
    "before start:identity",
    "after start:identity",
    "before running",
  ],
  stop: [
    "before stop:machine",
    "after stop:machine",
    ...(IN_LAB ? ["after tap back"] : []),
    "before stopped",
  ],
  rm: [
    "before delete:machine",
    "after delete:machine",
    ...(IN_LAB ? ["after tap back"] : []),
    "before delete:files",
    "after delete:files",
    "before removed",
  ],
  run: [
    "after create:files",
    "before created",
    "after start:sockets",
    "after start:enclosure",
    "after start:launch",
    "before vmm",
    "before start:identity",
    "before running",
  ],
  capture: [
    "before capture:machine",
    "after capture:machine",
    "after hold",
    "while stopped",
    "after capture",
  ],
  pause: ["before paused"],
  resume: ["before resumed"],
};

/** In the order of a sandbox's life: its uid and tap; its cgroup, chroot and processes; then these while it ends. */
const SAMPLE: Partial<typeof WALK> = {
  start: ["after tap owner", "before vmm"],
  stop: ["after tap back"],
  rm: ["after delete:machine"],
  run: ["before running"],
  capture: ["while stopped"],
};
const SAMPLED = IN_LAB && !LONG;

/** The places of this verb that are gone to. */
function places(verb: keyof typeof WALK): string[] {
  return SAMPLED ? (SAMPLE[verb] ?? []) : WALK[verb];
}

/** The sandbox that nobody touches: usable whatever happens beside it. */
async function keepAnswers(): Promise<void> {
  expect((await done(["exec", "keep", "--", "cat", "/root/kept"])).text).toBe("kept\n");
}

const CAPTURES = BACKEND_FEATURES[BACKENDS[0] as BackendName].snapshots;
// The most that a machine can have: a tap, or a network namespace with its processes.
const NETWORK = IN_LAB ? withTap(BACKENDS[0]!) : ["--network", hasSlirp(BACKENDS[0]!) ? "open" : "off"];
const SMALL = ["--backend", BACKENDS[0]!, ...NETWORK, "--memory", "256M"];
/** A directory of the host: what starts with it has a server for it as well. */
const SHARED = join(home, "shared");
const WITH_MOUNT = [...SMALL, "-v", `${SHARED}:/shared`];
let before: ReturnType<typeof traces>;

/** What only machines have: sandboxes that have none keep their files and their uids. */
function machines({ directories, sockets, uids, ...rest }: ReturnType<typeof traces>): object {
  return rest;
}

beforeAll(async () => {
  if (IN_LAB) makeLabTaps();
  mkdirSync(SHARED);
  writeFileSync(join(SHARED, "up"), "up\n");
  // Or one is made in the background, whose processes come and go.
  if (BACKEND_FEATURES[BACKENDS[0] as BackendName].templates) await done(["image", "warm", ...SMALL]);
  await done(["create", "--name", "keep", "--start", ...SMALL]);
  await done(["exec", "keep", "--", "sh", "-c", "echo kept > /root/kept"]);
  before = traces(home);
});
afterAll(async () => {
  await cli(["rm", "--all", "-f"]);
});
beforeEach(async () => {
  await cli(["rm", "-f", "box"]);
});

test("the walk comes by every step that is noted", () => {
  const walked = Object.values(WALK).flat().join(" ");
  for (const step of STEPS) expect(walked).toContain(`after ${step}`);
  for (const [verb, sampled] of Object.entries(SAMPLE))
    if (IN_LAB) expect(WALK[verb as keyof typeof WALK]).toEqual(expect.arrayContaining(sampled));
});

describe("smolvm that is killed", () => {
  test.each(places("create"))("while creating, at '%s', leaves no sandbox", async (failpoint) => {
    await dieAt(failpoint, ["create", "--name", "box", ...SMALL]);
    expect(await states()).toEqual({ keep: "running" });
    expect(traces(home)).toEqual(before);
    await done(["create", "--name", "box", ...SMALL]); // the name is free
    await done(["rm", "box"]);
    await keepAnswers();
  });

  test.each(places("start"))("while starting, at '%s', leaves one that can be started", async (failpoint) => {
    await done(["create", "--name", "box", ...WITH_MOUNT]);
    await dieAt(failpoint, ["start", "box"]);
    expect(await states()).toEqual({ keep: "running", box: "error" });
    expect(processesNaming(await idOf("box"))).toEqual([]);
    expect(machines(traces(home))).toEqual(machines(before));
    await done(["start", "box"]);
    expect((await done(["exec", "box", "--", "cat", "/shared/up"])).text).toBe("up\n");
    await keepAnswers();
    await done(["rm", "-f", "box"]);
    expect(traces(home)).toEqual(before);
  });

  test.each(places("stop"))(
    "while stopping, at '%s', leaves one that is stopped, with its files",
    async (failpoint) => {
      await done(["create", "--name", "box", "--start", ...SMALL]);
      await done(["exec", "box", "--", "sh", "-c", "echo mine > /root/mine"]);
      await dieAt(failpoint, ["stop", "box"]);
      expect(await states()).toEqual({ keep: "running", box: "stopped" });
      expect(processesNaming(await idOf("box"))).toEqual([]);
      expect(machines(traces(home))).toEqual(machines(before));
      await done(["start", "box"]);
      expect((await done(["exec", "box", "--", "cat", "/root/mine"])).text).toBe("mine\n");
      await keepAnswers();
    },
  );

  test.each(places("rm"))("while removing, at '%s', has it removed", async (failpoint) => {
    await done(["create", "--name", "box", "--start", ...SMALL]);
    await dieAt(failpoint, ["rm", "-f", "box"]);
    expect(await states()).toEqual({ keep: "running" });
    expect(traces(home)).toEqual(before);
    await keepAnswers();
  });

  test.each(places("run"))(
    "while running something once, at '%s', takes its machine with it",
    async (failpoint) => {
      await dieAt(failpoint, ["run", ...WITH_MOUNT, "--", "true"]);
      await done(["gc"]);
      expect(await states()).toEqual({ keep: "running" });
      expect(traces(home)).toEqual(before);
      await keepAnswers();
    },
  );
});

describe.runIf(CAPTURES)("smolvm that is killed over a machine that runs", () => {
  const counts = ["sh", "-c", "cat /root/count"];
  const count = async (): Promise<number> => Number((await done(["exec", "box", "--", ...counts])).text);

  /** It is as it was: it runs, answers, and what runs in it goes on. */
  async function boxGoesOn(): Promise<void> {
    expect(await states()).toEqual({ keep: "running", box: "running" });
    const seen = await count();
    await until("it counts on", async () => (await count()) > seen);
  }

  beforeEach(async () => {
    await done(["create", "--name", "box", "--start", ...SMALL]);
    const loop = "i=0; while :; do i=$((i+1)); echo $i > /root/count; sleep 0.05; done";
    await done(["exec", "box", "--", "sh", "-c", `(${loop}) >/dev/null 2>&1 & sleep 0.3`]);
  });

  test.each([...places("capture"), ...(SAMPLED ? [] : ["before snapshot"])])(
    "to save it, at '%s', leaves it as it was, and no snapshot",
    async (failpoint) => {
      const other = startCli(["exec", "box", "--", "sh", "-c", "echo runs; exec sleep 4719"]);
      await other.printed("runs\n");
      await dieAt(failpoint, ["snapshot", "create", "box", "it"]);
      other.child.kill("SIGKILL");
      await other.ended;
      await boxGoesOn();
      const gone = async (): Promise<boolean> =>
        (await cli(["exec", "box", "--", "pgrep", "-x", "-f", "sleep 4719"])).code === 1;
      await until("what a host had started that died meanwhile has ended", gone);
      expect((await done(["snapshot", "ls"])).text).not.toContain("it");
      await done(["gc"]);
      const snapshots = join(home, "data", "smolvm", "snapshots");
      expect(existsSync(snapshots) ? readdirSync(snapshots) : []).toEqual([]);
      await done(["snapshot", "create", "box", "it"]); // the name is free
      await done(["rm", "-f", "box"]);
      await done(["snapshot", "restore", "--name", "box", "it"]);
      await boxGoesOn();
      await done(["snapshot", "rm", "it"]);
      await done(["rm", "-f", "box"]);
      expect(traces(home)).toEqual(before);
    },
  );

  test.each([...places("capture"), ...(SAMPLED ? [] : ["before created", "before vmm", "before running"])])(
    "to fork it, at '%s', leaves it as it was, and of the child nothing but what can be removed",
    async (failpoint) => {
      await dieAt(failpoint, ["fork", "--name", "child", "box"]);
      const { child, ...others } = await states();
      expect(others).toEqual({ keep: "running", box: "running" });
      expect([undefined, "error"]).toContain(child);
      await done(["rm", "-f", "child"]).catch(() => {});
      await boxGoesOn();
      await done(["gc"]);
      await done(["rm", "-f", "box"]);
      expect(traces(home)).toEqual(before);
    },
  );

  test.each([...places("pause"), ...places("resume")])(
    "to pause or resume it, at '%s'",
    async (failpoint) => {
      if (failpoint === "before resumed") await done(["pause", "box"]);
      await dieAt(failpoint, [failpoint === "before resumed" ? "resume" : "pause", "box"]);
      expect(await states()).toEqual({ keep: "running", box: "paused" });
      await done(["resume", "box"]);
      await boxGoesOn();
    },
  );
});

test("a program that ends in order, with its sandbox running, leaves nothing that the next command does not remove", async () => {
  const backend = BACKENDS[0]!;
  const tap = { network: "open", ...(backend === "qemu" ? { qemuNetwork: "tap" } : {}) };
  const options = { backend, memSizeMib: 256, ...(IN_LAB ? tap : { network: "off" }) };
  const child = join(import.meta.dirname, "../../helpers/child-exit.ts");
  const [code] = await once(spawn(process.execPath, [child, JSON.stringify(options)]), "exit");
  expect(code).toBe(0);
  expect(await states()).toEqual({ keep: "running" });
  expect(traces(home)).toEqual(before);
});

describe.runIf(!SAMPLED)("fifty", () => {
  const kills = LONG ? 50 : 6;
  test(
    `kills at seeded random moments (${kills} here) leave nothing that gc does not remove`,
    async () => {
      const random = seeded(20_261_122);
      for (let i = 0; i < kills; i++) {
        await killedAfter(random() * 4_000, i % 2 === 0, ["create", "--name", `r${i}`, "--start", ...SMALL]);
        await states();
      }
      await keepAnswers();
      for (const name of Object.keys(await states())) if (name !== "keep") await done(["rm", "-f", name]);
      await done(["gc"]);
      expect((await done(["gc"])).text).toBe("Nothing was left behind.\n");
      expect(traces(home)).toEqual(before);
    },
    scaled(kills * 20_000),
  );
});

describe.runIf(!SAMPLED)("gc", () => {
  test("removes machines and directories that no record names, and stale sockets of another boot", async () => {
    await done(["create", "--name", "box", "--start", ...SMALL]);
    const id = await idOf("box");
    changeStore(home, "DELETE FROM vms WHERE name = 'box'");
    expect(processesNaming(id)).not.toEqual([]);
    const { text } = await done(["gc"]);
    expect(text).toMatch(/process: process \d+, the monitor of a machine/);
    expect(text).toContain(`directory: ${join(home, "data", "smolvm", "vms", id)}`);
    expect(processesNaming(id)).toEqual([]);
    expect(traces(home)).toEqual(before);
    await keepAnswers();
  });

  test("finds sandboxes of an earlier boot stopped, whatever has their process ids now", async () => {
    await done(["create", "--name", "box", ...SMALL]);
    const vmm = { pid: process.pid, startTime: "1", bootId: "another boot" };
    const running = JSON.stringify({ ...vmm, monitor: vmm });
    changeStore(home, "UPDATE vms SET state = 'running', vmm = ? WHERE name = 'box'", running);
    expect((await done(["gc"])).text).toContain("sandbox: box: running, is error");
    await done(["start", "box"]);
    expect((await done(["exec", "box", "--", "echo", "up"])).text).toBe("up\n");
  });
});

/** The internal id of a sandbox, which its directories and the command lines of its processes have in them. */
async function idOf(name: string): Promise<string> {
  return (JSON.parse((await done(["info", "--json", name])).text) as { data: { id: string } }).data.id;
}

/** Starts smolvm as the leader of a group of its own, and kills it, or the whole group, after some time. */
async function killedAfter(ms: number, group: boolean, args: readonly string[]): Promise<void> {
  const child = spawn(CLI[0]!, [...CLI.slice(1), ...args], { stdio: "ignore", detached: true });
  const ended = once(child, "exit");
  const timer = setTimeout(() => process.kill(group ? -child.pid! : child.pid!, "SIGKILL"), ms);
  await ended; // it may have been done before its time
  clearTimeout(timer);
}
