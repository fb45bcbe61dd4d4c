import { spawn } from "node:child_process";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RotatedLog } from "../../../../src/host/logs/rotated-log.ts";
import {
  CONSOLE_MAX_BYTES,
  type LaunchedProgram,
  type LaunchRequest,
  launchProgram,
} from "../../../../src/host/monitor/launch.ts";
import { identify, isAlive, type VmmIdentity } from "../../../../src/host/process/process-identity.ts";
import { waitForEnd } from "../../../../src/host/process/wait-end.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { until } from "../../../helpers/wait.ts";

const soon = (): Deadline => Deadline.of("the test", { timeoutMs: 20_000 });
const LAUNCHER = fileURLToPath(new URL("../../../helpers/launcher.ts", import.meta.url));

/** The native monitor exists for Linux only; the one in Node takes its place elsewhere and is tested everywhere. */
const MONITORS: readonly ("native" | "node")[] = process.platform === "linux" ? ["native", "node"] : ["node"];

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "sml-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

describe.each(MONITORS.filter((monitor) => monitor === "native"))("the %s monitor", (monitor) => {
  test("that does not understand what it is asked says how to get one that does", async () => {
    const files = {
      console: join(dir, "console.log"),
      stderr: join(dir, "vmm.log"),
      exit: join(dir, "exit.json"),
    };
    const request = { argv: [], ...files, dieWithParent: false, deadline: soon(), monitor };
    await expect(launchProgram(request)).rejects.toMatchObject({
      code: "HOST_FAILED",
      message: expect.stringContaining("the native monitor program is of another version"),
      hint: expect.stringContaining("scripts/build-native.sh"),
    });
  });
});

describe.each(MONITORS)("a program under the %s monitor", (monitor) => {
  const request = (argv: string[], change: Partial<LaunchRequest> = {}): LaunchRequest => ({
    argv,
    console: join(dir, "console.log"),
    stderr: join(dir, "vmm.log"),
    exit: join(dir, "exit.json"),
    dieWithParent: false,
    deadline: soon(),
    monitor,
    ...change,
  });
  const sh = (script: string, change?: Partial<LaunchRequest>): Promise<LaunchedProgram> =>
    launchProgram(request(["/bin/sh", "-c", script], change));
  const read = (name: string): string => readFileSync(join(dir, name), "utf8");

  test("has its output in files, and its end written down", async () => {
    const launched = await sh("echo console; echo said >&2; exit 4");
    expect(await launched.exited).toEqual({ code: 4, signal: undefined, stderr: "said" });
    expect(read("console.log")).toBe("console\n");
    expect(JSON.parse(read("exit.json"))).toMatchObject({
      pid: launched.program.pid,
      code: 4,
      signal: null,
      at_ms: expect.any(Number),
    });
  });

  test("is told of as soon as it is there, and ends with its monitor if that cannot be noted", async () => {
    let told: VmmIdentity | undefined;
    const onStarted = (started: VmmIdentity): void => {
      told = started;
      throw new Error("no room for a note");
    };
    await expect(sh("exec sleep 60", { onStarted })).rejects.toThrow("no room for a note");
    for (const process of [told!, told!.monitor]) await until("it has ended", () => !isAlive(process));
  });

  test("that is killed has its signal written down by name", async () => {
    const launched = await sh("exec sleep 60");
    process.kill(launched.program.pid, "SIGKILL");
    expect(await launched.exited).toMatchObject({ code: undefined, signal: "SIGKILL" });
    expect(JSON.parse(read("exit.json"))).toMatchObject({ code: null, signal: 9 });
  });

  test("runs in a session of its own, without a terminal and without stdin", async () => {
    const launched = await sh("cat; ps -o sid= -p $$ | tr -d ' '");
    await launched.exited;
    expect(Number(read("console.log"))).not.toBe(Number(process.pid));
    expect(Number(read("console.log"))).toBeGreaterThan(1);
  });

  test("gets the TERM that its monitor gets", async () => {
    const launched = await sh("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done");
    await until("it is up", () => read("console.log").includes("up"));
    process.kill(launched.monitor.pid, "SIGTERM");
    expect((await launched.exited).code).toBe(7);
    expect(read("console.log")).toContain("bye");
  });

  test("may print without end: its files stay bounded and hold the newest", async () => {
    const launched = await sh(
      "head -c 5000000 /dev/zero | tr '\\0' x; head -c 500000 /dev/zero | tr '\\0' e >&2; echo; echo last",
    );
    await launched.exited;
    const size = (name: string): number => statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0;
    expect(size("console.log") + size("console.log.1")).toBeLessThanOrEqual(CONSOLE_MAX_BYTES + 65_536);
    expect(size("vmm.log") + size("vmm.log.1")).toBeLessThanOrEqual(128 * 1024);
    expect(read("console.log").endsWith("last\n")).toBe(true);
  });

  test("that printed faster than one read: what is missing is told to the byte", async () => {
    const log = new RotatedLog(join(dir, "console.log"));
    const total = 4 * CONSOLE_MAX_BYTES + 12_345;
    const launched = await sh(
      `echo begin; while [ ! -e ${join(dir, "go")} ]; do sleep 0.05; done; head -c ${total} /dev/zero`,
    );
    await until("the first line", () => read("console.log") === "begin\n");
    const first = [...log.read()];
    expect(first).toHaveLength(1);
    writeFileSync(join(dir, "go"), "go\n");
    await launched.exited;
    let arrived = 0;
    let missed = 0;
    for (const piece of log.read()) {
      if (piece instanceof Uint8Array) arrived += piece.length;
      else missed += piece.missedBytes;
    }
    log.close();
    expect(missed).toBeGreaterThan(2 * CONSOLE_MAX_BYTES);
    expect(arrived + missed).toBe(total);
  });

  test("that does not exist is an error with its reason", async () => {
    const failed = launchProgram(request([join(dir, "no-such-vmm")]));
    await expect(failed.then((launched) => launched.exited)).rejects.toMatchObject({
      code: "HOST_FAILED",
      message: expect.stringContaining("no-such-vmm"),
    });
  });

  test("forgets how an earlier one ended", async () => {
    writeFileSync(join(dir, "exit.json"), '{"pid":1,"code":5,"signal":null,"at_ms":1}');
    const launched = await sh("exec sleep 60");
    expect(() => read("exit.json")).toThrow("ENOENT");
    process.kill(launched.program.pid, "SIGKILL");
    await launched.exited;
  });

  test("outlives the process that started it, unless it must not", async () => {
    const child = spawn(process.execPath, [LAUNCHER, monitor, dir, "600"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const line = await new Promise<string>((resolve) =>
      child.stdout.once("data", (data) => resolve(String(data))),
    );
    const [program, watcher] = line.trim().split(" ").map(Number);
    const identities = [identify(program!), identify(watcher!)];
    expect(identities.every(isAlive)).toBe(true);
    child.kill("SIGKILL");
    for (const identity of identities) await waitForEnd(identity, soon());
  });
});

describe.runIf(process.platform === "linux")("the native monitor", () => {
  test("takes its program with it when it is killed", async () => {
    const launched = await launchProgram({
      argv: ["/bin/sleep", "600"],
      console: join(dir, "console.log"),
      stderr: join(dir, "vmm.log"),
      exit: join(dir, "exit.json"),
      dieWithParent: false,
      deadline: soon(),
      monitor: "native",
    });
    process.kill(launched.monitor.pid, "SIGKILL");
    await waitForEnd(launched.program, soon());
    expect(await launched.exited).toEqual({ code: undefined, signal: undefined, stderr: "" });
  });

  test("keeps nothing open that its starter had open by accident", async () => {
    const inherited = join(dir, "inherited");
    const child = spawn(
      "/bin/bash",
      // Node itself closes the low numbers
      ["-c", 'exec "$@" 251>"$0"', inherited, process.execPath, LAUNCHER, "native", dir, "600"],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const line = await new Promise<string>((resolve) =>
      child.stdout.once("data", (data) => resolve(String(data))),
    );
    const open = (pid: string | number): string[] =>
      readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    const identities = line
      .trim()
      .split(" ")
      .map((pid) => identify(Number(pid)));
    try {
      expect(open(child.pid!)).toContain(inherited);
      for (const { pid } of identities) expect(open(pid)).not.toContain(inherited);
    } finally {
      child.kill("SIGKILL");
    }
    for (const identity of identities) await waitForEnd(identity, soon());
  });
});
