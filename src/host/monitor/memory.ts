import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { orNoSpace } from "../../util/no-space.ts";
import { nativeProgram } from "../package.ts";
import { runProgram } from "../process/run.ts";
import { copyWithoutZeros } from "./copy-sparse.ts";

/** A part of a running program's memory. */
export interface MemoryPart {
  readonly pid: number;
  readonly address: number;
  /** whole pages */
  readonly bytes: number;
}

/** Pages of 4 KiB that a program had to itself: a file with these alone, and the map that says which they are. */
export interface OwnPages {
  readonly file: string;
  readonly map: string;
}

/** What is being saved: what could be had while the program runs is there. */
export interface SavingMemory {
  /**
   * Takes the rest, of a program that has been stopped.
   * @returns pages that were the program's own
   * @throws SmolVMError HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED
   */
  finish(): Promise<number>;
  /** Nothing is left of it then. */
  cancel(): Promise<void>;
}

/**
 * Saves a part of a running program's memory, in two steps (monitor/src/memory.rs). Linux alone can.
 * @param to the file that gets it: sparse, and not there yet, or one that holds nothing
 * @param map the file, not there yet, that gets the map of the pages that were its own: `to` gets these alone then. Of what maps a file
 * @throws SmolVMError NOT_SUPPORTED, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function saveMemory(
  { pid, address, bytes }: MemoryPart,
  { to, map }: { readonly to: string; readonly map?: string | undefined },
  deadline: Deadline,
): Promise<SavingMemory> {
  let go!: (word: string | undefined) => void;
  const word = new Promise<string | undefined>((resolve) => {
    go = resolve;
  });
  let said = "";
  let isReady!: () => void;
  const ready = new Promise<void>((resolve) => {
    isReady = resolve;
  });
  const files = map === undefined ? [to] : [to, map];
  const program = runProgram([monitorProgram(), "memory", ...[pid, address, bytes].map(String), ...files], {
    deadline,
    stdin: answer(word),
    onStdout: (chunk) => {
      said += Buffer.from(chunk).toString("latin1");
      if (said.startsWith("ready\n")) isReady();
    },
  }).catch((error) => {
    throw orRefused(noRoomFor(to, error), ptraceScope());
  });
  program.catch(() => go(undefined)); // whoever gave up before does not ask
  await Promise.race([ready, program]);
  return {
    finish: async () => {
      go("go\n");
      await program;
      return Number(/^copied (\d+)$/m.exec(said)?.[1] ?? 0);
    },
    cancel: async () => {
      go(undefined);
      await program.catch(() => {});
    },
  };
}

/**
 * {@link saveMemory} beside what has to be done before the program is stopped.
 * @throws SmolVMError as that; what `act` throws, and nothing is left then
 */
export async function saveMemoryBeside(
  part: MemoryPart,
  files: Parameters<typeof saveMemory>[1],
  act: (() => Promise<void>) | undefined,
  deadline: Deadline,
): Promise<SavingMemory> {
  const saving = saveMemory(part, files, deadline);
  saving.catch(() => {}); // it may fail while that is done
  try {
    await act?.();
  } catch (error) {
    await saving.then((begun) => begun.cancel()).catch(() => {}); // the first failure is the one to tell
    throw error;
  }
  return await saving;
}

/**
 * Gives a program, which maps the file that another did and has not begun to use it, the pages that were the other's own.
 * @throws SmolVMError NOT_SUPPORTED, HOST_FAILED, TIMEOUT, ABORTED
 */
export async function giveMemory(
  { pid, address, bytes }: MemoryPart,
  { file, map }: OwnPages,
  deadline: Deadline,
): Promise<void> {
  const place = [pid, address, bytes].map(String);
  await runProgram([monitorProgram(), "give", ...place, file, map], { deadline }).catch((error) => {
    throw orRefused(error, ptraceScope());
  });
}

/** How far the kernel lets programs look into others, where it has such a setting (Yama, ptrace(2)): 0 as far as their user may; undefined: it has none. */
function ptraceScope(): string | undefined {
  try {
    return readFileSync("/proc/sys/kernel/yama/ptrace_scope", "latin1").trim();
  } catch {
    return undefined;
  }
}

/**
 * A failure for want of the right to another program's memory as one that says what gives it; any other as it is. Pure.
 * @param scope the host's setting
 */
export function orRefused(error: unknown, scope: string | undefined): unknown {
  const refused = /Permission denied|Operation not permitted/;
  if (scope === undefined || scope === "0" || !isSmolVMError(error, "HOST_FAILED")) return error;
  if (!refused.test(String(error.details.stderr ?? ""))) return error;
  return new SmolVMError(
    "HOST_FAILED",
    `this host keeps programs from others' memory (kernel.yama.ptrace_scope=${scope})`,
    {
      hint: "Let them have it: sudo sysctl -w kernel.yama.ptrace_scope=0",
      details: { ...error.details, ptraceScope: scope },
      cause: error,
    },
  );
}

/**
 * Copies a sparse file, sharing blocks with it where the file system can.
 * @param to must not exist, or hold nothing; nothing is left there on failure
 * @param makeHoles pages of zeros are not copied either: for a file that was written whole
 * @throws SmolVMError NOT_SUPPORTED, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function copySparse(
  from: string,
  to: string,
  deadline: Deadline,
  { makeHoles = false }: { readonly makeHoles?: boolean } = {},
): Promise<void> {
  try {
    if (process.platform !== "linux") return await copyWithoutZeros(from, to, deadline);
    const verb = makeHoles ? "copy-pages" : "copy";
    await runProgram([monitorProgram(), verb, from, to], { deadline });
  } catch (error) {
    throw noRoomFor(to, error);
  }
}

async function* answer(word: Promise<string | undefined>): AsyncGenerator<Uint8Array> {
  const said = await word;
  if (said !== undefined) yield Buffer.from(said);
}

/** The native program for what Node cannot do. @throws SmolVMError DEPENDENCY_MISSING, NOT_SUPPORTED */
export function monitorProgram(): string {
  const monitor = process.platform === "linux" ? nativeProgram("monitor") : undefined;
  if (monitor !== undefined) return monitor;
  throw process.platform === "linux"
    ? new SmolVMError("DEPENDENCY_MISSING", "the native monitor program is not built", {
        hint: "Run scripts/build-native.sh",
      })
    : new SmolVMError("NOT_SUPPORTED", `a machine's memory cannot be saved on ${process.platform} yet`, {
        hint: 'Keep its disk alone: kind: "disk" (--disk-only).',
      });
}

/** What the program says of a full disk, as what it is. */
export function noRoomFor(path: string, error: unknown): unknown {
  return orNoSpace(error, `no space left for '${path}'`, dirname(path), { details: { path } });
}
