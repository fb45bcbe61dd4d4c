/**
 * Runs a command in a fresh lab: a virtual machine with a real KVM (QEMU emulates the CPU's virtualization), whose root
 * are this machine's own files under a writable layer that is gone afterwards. npm run lab -- --help
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { countOption, type ProgramSpec, program } from "../../scripts/program.ts";
import type { Arguments } from "../../src/cli/arguments.ts";
import { SmolVMError } from "../../src/errors.ts";
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

const NO_LAB = 125;
const SPEC: ProgramSpec = {
  invocation: "npm run lab --",
  summary: "Run a command in a fresh virtual machine that has a real KVM.",
  usage: "[OPTIONS] COMMAND [ARGUMENT...]",
  operands: { min: 0, max: 0, what: "nothing" },
  trailing: true,
  options: [
    { name: "timeout", value: "SECONDS", help: "what the command may take (default: 600)" },
    { name: "cpus", value: "N", help: "processors (default: 1)" },
    { name: "memory", value: "MIB", help: "memory (default: 4096)" },
    { name: "share", value: "DIRECTORY", repeat: true, help: "what the command writes there stays" },
    { name: "boot-args", value: "WORDS", help: "added to the lab's kernel's command line" },
  ],
  notes: [
    "Its output is streamed and its exit code is ours; 124: the time was over, 125: there was no lab, 130: interrupted. A lab that stands still is said, and started again once, with the command from its beginning.",
  ],
  examples: ["npm run lab -- ls -l /dev/kvm"],
};

await program(
  SPEC,
  async (args) => {
    process.exit(await main(readJob(args)));
  },
  NO_LAB,
);

interface Job {
  readonly command: readonly string[];
  readonly timeoutS: number;
  readonly cpus: number;
  readonly memMib: number;
  readonly shares: readonly string[];
  readonly bootArgs: string;
}

/** @throws SmolVMError USAGE */
function readJob(args: Arguments): Job {
  if (args.trailing.length === 0) {
    throw new SmolVMError("USAGE", "what is to be run?", { hint: "npm run lab -- COMMAND [ARGUMENT...]" });
  }
  return {
    command: args.trailing,
    timeoutS: countOption(args, "timeout") ?? 600,
    cpus: countOption(args, "cpus") ?? 1,
    memMib: countOption(args, "memory") ?? 4096,
    shares: args.values("share"),
    bootArgs: args.value("boot-args") ?? "",
  };
}

async function main(job: Job): Promise<number> {
  if (process.arch !== "x64" || process.platform !== "linux" || process.getuid?.() !== 0) {
    note("the lab runs on x86_64 Linux, as root (its root are this machine's files)");
    return NO_LAB;
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
    return await runLab(job, interrupted.signal);
  } finally {
    await unlock();
  }
}

async function runLab(job: Job, signal: AbortSignal): Promise<number> {
  const deadline = Deadline.of("preparing the lab", { timeoutMs: PREPARE_MS, signal });
  const parts = await prepareParts(
    await readFile(join(import.meta.dirname, "init.sh"), "utf8"),
    deadline,
    note,
  );
  const firecracker = await labFirecracker(deadline, note);
  const shares = job.shares.map(
    (directory, index): Share => ({
      tag: `share${index}`,
      directory: resolve(directory),
    }),
  );
  const timeoutMs = job.timeoutS * 1000;
  const until = performance.now() + timeoutMs;
  for (let restarts = 0; ; restarts++) {
    const jobDir = await writeJob(job.command, shares, firecracker);
    try {
      const machine: LabMachine = {
        ...parts,
        cpus: job.cpus,
        memMib: job.memMib,
        tscKhz: await tscKhz(processPaths().cacheDir),
        jobDir,
        script: join(import.meta.dirname, "enter.sh"),
        shares,
        bootArgs: job.bootArgs,
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
        note(`its time of ${job.timeoutS} s is over (${summary}); raise it with --timeout SECONDS`);
        return 124;
      }
      note(`stalled: ${end.why} (${summary})`);
      if (restarts > 0) return NO_LAB;
      note("starting it again, once");
    } finally {
      await rm(jobDir, { recursive: true, force: true });
    }
  }
}

/** What enter.sh reads: the command, its environment and directory, and what is shared. */
async function writeJob(
  command: readonly string[],
  shares: readonly Share[],
  firecracker: string,
): Promise<string> {
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
