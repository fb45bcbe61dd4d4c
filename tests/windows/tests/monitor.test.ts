/** The native monitor (monitor/src/windows/) with Node in the VMM's place. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CONSOLE_MAX_BYTES, type LaunchedProgram, launchProgram } from "../../../src/host/monitor/launch.ts";
import { monitorOf } from "../../../src/host/monitor/monitors.ts";
import { nativeProgram } from "../../../src/host/package.ts";
import { identify, isAlive, signalProcess } from "../../../src/host/process/process-identity.ts";
import { runProgram } from "../../../src/host/process/run.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { until } from "../../helpers/wait.ts";

let directory: string;
let awake: NodeJS.Timeout;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm monitor ü-"));
  awake = setInterval(() => {}, 1_000); // a launched program does not keep this process alive
});
afterAll(() => {
  clearInterval(awake);
  rmSync(directory, { recursive: true });
});
const path = (name: string): string => join(directory, name);
const text = (name: string): string => readFileSync(path(name), "utf8");

function launch(script: string, words: readonly string[] = []): Promise<LaunchedProgram> {
  return launchProgram({
    argv: [process.execPath, "-e", script, ...words],
    console: path("console.log"),
    stderr: path("vmm.log"),
    exit: path("exit.json"),
    lock: path("monitor.lock"),
    dieWithParent: false,
    deadline: Deadline.within(20_000, "launching"),
    monitor: "native",
  });
}

/** Whether there is a process of that number, whoever it is. */
function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const FOR_EVER = "setInterval(() => {}, 100)";

test("says how its program ended, and what it said", async () => {
  const launched = await launch("console.log('out'); console.error('err'); process.exit(7)");
  expect(await launched.exited).toEqual({ code: 7, signal: undefined, stderr: "err" });
  expect(text("console.log")).toBe("out\n");
  expect(JSON.parse(text("exit.json"))).toMatchObject({ pid: launched.program.pid, code: 7, signal: null });
});

test("gives its program the words that it was given", async () => {
  const words = ["a b", 'c"d', "e\\", "", 'f\\"g', "ü€"];
  await (await launch("console.log(JSON.stringify(process.argv.slice(1)))", words)).exited;
  expect(JSON.parse(text("console.log"))).toEqual(words);
});

test("is told from others by the lock that it holds, for as long as it runs", async () => {
  const { program, monitor, exited } = await launch(FOR_EVER);
  expect([isAlive(program), isAlive(monitor)]).toEqual([true, true]);
  expect(monitorOf(path("monitor.lock"))).toEqual([
    { identity: identify(monitor.pid, path("monitor.lock")), exit: path("exit.json"), stray: false },
  ]);
  signalProcess(program, "SIGKILL");
  expect(await exited).toMatchObject({ code: 1 });
  expect([isAlive(program), isAlive(monitor)]).toEqual([false, false]);
  expect(monitorOf(path("monitor.lock"))).toEqual([]);
});

test("takes its program with it when it is killed", async () => {
  const { program, monitor, exited } = await launch(FOR_EVER);
  signalProcess(monitor, "SIGKILL");
  await exited;
  await until("the program is gone", () => !exists(program.pid));
  expect(isAlive(program)).toBe(false);
});

test("keeps the console bounded, and says where the present file begins", async () => {
  const script = "const part = 'x'.repeat(1 << 16); for (let i = 0; i < 100; i++) process.stdout.write(part)";
  await (await launch(script)).exited;
  const sizes = ["console.log", "console.log.1"].map((name) => statSync(path(name)).size);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(CONSOLE_MAX_BYTES / 2);
  const { ino } = statSync(path("console.log"), { bigint: true });
  expect(text("console.log.at")).toBe(`${100 * 65_536 - sizes[0]!} ${ino}\n`);
});

test("says why a program cannot be started", async () => {
  const deadline = Deadline.within(20_000, "launching");
  const files = { console: path("c"), stderr: path("s"), exit: path("e"), lock: path("other.lock") };
  const request = { argv: [path("none.exe")], ...files, dieWithParent: false, deadline };
  await expect(launchProgram(request)).rejects.toMatchObject({
    code: "HOST_FAILED",
    message: expect.stringContaining("none.exe"),
  });
});

test("measures the time stamp counter", async () => {
  const deadline = Deadline.within(20_000, "measuring");
  const khz = Number((await runProgram([nativeProgram("monitor")!, "tsc"], { deadline })).stdout);
  expect(khz).toBeGreaterThan(100_000);
  expect(khz).toBeLessThan(10_000_000);
});
