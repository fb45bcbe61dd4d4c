/**
 * Runs a command in a fresh lab: a virtual machine with a real KVM (QEMU emulates the CPU's virtualization), whose root
 * are this machine's own files under a writable layer that is gone afterwards.
 *
 *   npm run lab -- [--timeout 600] [--cpus 1] [--memory 4096] [--share DIRECTORY]... [--boot-args WORDS] COMMAND [ARGUMENT...]
 *
 * Its output is streamed and its exit code is ours; 124: the time was over, 125: there was no lab, 130: interrupted. A lab that stands
 * still is said, and started again once, with the command from its beginning. --share: what the command writes there stays.
 * --boot-args: for the lab's kernel.
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { processPaths } from "../../src/host/files/paths.ts";
import { tscKhz } from "../../src/host/hardware/facts.ts";
import { acquireLock } from "../../src/images/store/build-lock.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { labFirecracker } from "./firecracker.ts";
import type { LabMachine, Share } from "./machine.ts";
import { labCacheDir, prepareParts } from "./parts.ts";
import { runSession } from "./session.ts";

const PREPARE_MS = 600_000;
/** A lab that waits for another lab is patient. */
const LOCK_MS = 4 * 3600_000;

const note = (message: string): void => void process.stderr.write(`lab: ${message}\n`);

const { values, positionals: command } = parseArgs({
  args: ownArguments(process.argv.slice(2)),
  allowPositionals: true,
  options: {
    timeout: { type: "string", default: "600" },
    cpus: { type: "string", default: "1" },
    memory: { type: "string", default: "4096" },
    share: { type: "string", multiple: true, default: [] },
    "boot-args": { type: "string", default: "" },
  },
});
if (command.length === 0) {
  note("what is to be run? npm run lab -- COMMAND [ARGUMENT...]");
  process.exit(125);
}
process.exit(await main());

/** Our options end at the first word that is none: what follows is the command's, dashes included. */
function ownArguments(args: string[]): string[] {
  let at = 0;
  while (args[at]?.startsWith("--") && args[at] !== "--") at += args[at]!.includes("=") ? 1 : 2;
  return [...args.slice(0, at), "--", ...args.slice(args[at] === "--" ? at + 1 : at)];
}

async function main(): Promise<number> {
  if (process.arch !== "x64" || process.platform !== "linux" || process.getuid?.() !== 0) {
    note("the lab runs on x86_64 Linux, as root (its root are this machine's files)");
    return 125;
  }
  const interrupted = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => interrupted.abort());
  await mkdir(labCacheDir(), { recursive: true, mode: 0o700 });
  const waiting = Deadline.of("waiting for another lab", {
    timeoutMs: LOCK_MS,
    signal: interrupted.signal,
  });
  // One at a time: two would only slow each other down until both stand still.
  const unlock = await acquireLock(join(labCacheDir(), "lock"), waiting, ({ pid }) =>
    note(`waiting for the lab of process ${pid}`),
  );
  try {
    return await runLab(interrupted.signal);
  } finally {
    await unlock();
  }
}

async function runLab(signal: AbortSignal): Promise<number> {
  const deadline = Deadline.of("preparing the lab", { timeoutMs: PREPARE_MS, signal });
  const parts = await prepareParts(
    await readFile(join(import.meta.dirname, "init.sh"), "utf8"),
    deadline,
    note,
  );
  const firecracker = await labFirecracker(deadline, note);
  const shares = values.share.map(
    (directory, index): Share => ({
      tag: `share${index}`,
      directory: resolve(directory),
    }),
  );
  const timeoutMs = Number(values.timeout) * 1000;
  const until = performance.now() + timeoutMs;
  for (let restarts = 0; ; restarts++) {
    const jobDir = await writeJob(shares, firecracker);
    try {
      const machine: LabMachine = {
        ...parts,
        cpus: Number(values.cpus),
        memMib: Number(values.memory),
        tscKhz: await tscKhz(processPaths().cacheDir),
        jobDir,
        script: join(import.meta.dirname, "enter.sh"),
        shares,
        bootArgs: values["boot-args"],
      };
      const { end, times, console, processors } = await runSession({
        machine,
        timeoutMs: until - performance.now(),
        signal,
        stdout: process.stdout,
        stderr: process.stderr,
      });
      const up = times.bootMs === undefined ? "never up" : `up after ${seconds(times.bootMs)}`;
      const summary = `${up}, longest silence ${seconds(times.longestSilenceMs)}, ${restarts} restarts`;
      if (end.kind === "exit") {
        note(`exit code ${end.code} (${summary})`);
        return end.code;
      }
      if (end.kind === "interrupted") return 130;
      note(`its last words:\n${indented(console)}`);
      note(`its processors, twice:\n${indented(processors)}`);
      if (end.kind === "timeout") {
        note(`its time of ${values.timeout} s is over (${summary}); raise it with --timeout SECONDS`);
        return 124;
      }
      note(`stalled: ${end.why} (${summary})`);
      if (restarts > 0) return 125;
      note("starting it again, once");
    } finally {
      await rm(jobDir, { recursive: true, force: true });
    }
  }
}

/** What enter.sh reads: the command, its environment and directory, and what is shared. */
async function writeJob(shares: readonly Share[], firecracker: string): Promise<string> {
  const jobDir = await mkdtemp(join(labCacheDir(), "job-"));
  const nul = (words: readonly string[]): string => words.map((word) => `${word}\0`).join("");
  const environment: Record<string, string | undefined> = {
    ...process.env,
    SMOLVM_FIRECRACKER: join(firecracker, "firecracker"),
    // The lab's Firecracker is older than smolvm accepts of users.
    SMOLVM_ALLOW_OLD_FIRECRACKER: "1",
    SMOLVM_LAB: "1",
    // The user's sandboxes run on the host: the lab has none of them.
    XDG_DATA_HOME: "/tmp/lab-data",
  };
  // The directory of the session's sockets is this machine's; the lab has a /run of its own.
  delete environment.XDG_RUNTIME_DIR;
  await writeFile(join(jobDir, "argv"), nul(command));
  await writeFile(
    join(jobDir, "env"),
    nul(
      Object.entries(environment).flatMap(([name, value]) =>
        value === undefined ? [] : [`${name}=${value}`],
      ),
    ),
  );
  await writeFile(join(jobDir, "cwd"), process.cwd());
  const needed = [process.cwd(), labCacheDir(), processPaths().cacheDir];
  await writeFile(join(jobDir, "needed"), needed.map((directory) => `${directory}\n`).join(""));
  await writeFile(
    join(jobDir, "shares"),
    shares.map(({ tag, directory }) => `${tag} ${directory}\n`).join(""),
  );
  return jobDir;
}

function indented(lines: readonly string[]): string {
  return lines.map((line) => `  ${line}\n`).join("");
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
