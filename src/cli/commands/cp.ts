import { stat } from "node:fs/promises";
import type { TransferResult } from "../../agent/files/types.ts";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { isTerminal } from "../../host/terminal/is-terminal.ts";
import type { SmolVM } from "../../smolvm.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { type CopyPath, parseCopyPath } from "../args/copy-path.ts";
import { copyTarget, type PathKind } from "../args/copy-target.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { runningSandbox } from "../guest/running.ts";
import { ownStdin } from "../guest/stdin.ts";
import type { Io } from "../io.ts";

/** Notes about entries that were left out, before it becomes a flood. */
const SHOWN_SKIPPED = 10;

const spec: CommandSpec = {
  name: "cp",
  usage: "[OPTIONS] SRC|- NAME:DST | NAME:SRC DST|- | NAME:SRC NAME:DST",
  operands: { min: 2, max: 2, what: "the source or the destination", complete: "copy-paths" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Files and directories, with modes and times; a path in a sandbox that is not absolute is in its working directory (--workdir, else the home of its user). Devices, pipes and sockets of a sandbox are left out. Into an existing directory the copy goes under its own name; SRC/. copies a directory's content alone. A local path with a colon in it is written ./a:b.",
    "With the same NAME on both sides the copy is made in the sandbox, and none of it comes here.",
    "With - a tar archive from stdin is unpacked into the directory DST, or SRC is written to stdout as one; neither is compressed.",
  ],
  examples: [
    "smolvm cp report.py box:/root/",
    "smolvm cp ./src/. box:/srv/app",
    "smolvm cp box:/srv/app/out.csv .",
    "smolvm cp box:/srv/app box:/srv/backup",
    "git archive HEAD | smolvm cp - box:/srv/app",
    "smolvm cp box:/srv/app - | tar -tv",
  ],
};

async function cpCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [sourceText, targetText] = args.operands as [string, string];
  const source = parseCopyPath(sourceText, process.platform);
  const target = parseCopyPath(targetText, process.platform);
  const guest = source.kind === "guest" ? source : target;
  if (guest.kind !== "guest") throw noSandbox(source, target);
  if (source.kind === "guest" && target.kind === "guest" && source.name !== target.name) throw twoSandboxes();
  if (target.kind === "stream") {
    if (io.json) throw usage(spec, "an archive on stdout leaves no place for JSON", "Leave --json out.");
    if (io.stdout.isTTY)
      throw usage(spec, "stdout is a terminal", `Write it to a file: smolvm cp ${sourceText} - > FILE.tar`);
  }
  if (source.kind === "stream" && isTerminal(0))
    throw usage(spec, "stdin is a terminal", `Give it an archive: smolvm cp - ${targetText} < FILE.tar`);
  const vm = await runningSandbox(guest.name);
  try {
    io.onProgress({ stage: "copy", message: `copying ${sourceText} to ${targetText}` });
    if (source.kind === "stream") return await unpack(io, vm, guest.path, targetText);
    if (target.kind === "stream") return await pack(io, vm, guest.path);
    const [sourceKind, targetKind] = await Promise.all([kindOf(source, vm), kindOf(target, vm)]);
    const to = copyTarget(
      { path: source.path, kind: sourceKind, backslashes: isWindowsPath(source) },
      { path: target.path, kind: targetKind, backslashes: isWindowsPath(target) },
      { source: sourceText, target: targetText },
    );
    const options = { signal: io.interrupts.signal };
    if (source.kind === target.kind) {
      const { skipped, ...copied } = await vm.files.copy(source.path, to, { ...options, recursive: true });
      if (skipped > 0) io.note(`note: left out ${skipped} devices, pipes or sockets`);
      const data = { source: sourceText, target: `${vm.name}:${to}`, ...copied, skippedCount: skipped };
      return { data };
    }
    const { entries, bytes, skipped } =
      source.kind === "host"
        ? await vm.files.upload(source.path, to, options)
        : await vm.files.download(source.path, to, options);
    noteSkipped(io, skipped);
    return {
      data: {
        source: sourceText,
        target: target.kind === "guest" ? `${vm.name}:${to}` : to,
        entries,
        bytes,
        skipped,
      },
    };
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

/** stdin's archive into a directory of the sandbox. */
async function unpack(io: Io, vm: SmolVM, to: string, shown: string): Promise<Outcome> {
  const { entries, bytes, skipped } = await vm.files.uploadTar(ownStdin(), to, {
    signal: io.interrupts.signal,
  });
  noteSkipped(io, skipped);
  return { data: { source: "-", target: shown, entries, bytes, skipped } };
}

/** A file or directory of the sandbox as an archive on stdout. */
async function pack(io: Io, vm: SmolVM, from: string): Promise<Outcome> {
  const skipped: TransferResult["skipped"][number][] = [];
  const archive = await vm.files.downloadTar(from, {
    signal: io.interrupts.signal,
    onSkipped: (entry) => skipped.push(entry),
  });
  for await (const chunk of archive) await io.stdout.write(chunk as Buffer);
  noteSkipped(io, skipped, false);
  return { data: null, printed: true };
}

/** Says what was left out: devices and the like, and symlinks that would have led out of the target. */
function noteSkipped(io: Io, skipped: TransferResult["skipped"], listed = true): void {
  for (const { path, reason } of skipped.slice(0, SHOWN_SKIPPED)) {
    io.note(`note: left out ${escapeTerminal(path)}: ${escapeTerminal(reason)}`);
  }
  const more = skipped.length - SHOWN_SKIPPED;
  if (more > 0) io.note(`note: left out ${more} more${listed ? "; --json lists them" : ""}`);
}

function noSandbox(source: CopyPath, target: CopyPath): SmolVMError {
  if (target.kind === "stream") return usage(spec, "neither side is in a sandbox");
  return usage(spec, "neither path is in a sandbox", `Write: smolvm cp ${source.path} NAME:${target.path}`);
}

function twoSandboxes(): SmolVMError {
  return new SmolVMError("NOT_SUPPORTED", "copying between sandboxes is not built", {
    hint: "Pass an archive from one to the other: smolvm cp ONE:/SRC - | smolvm cp - OTHER:/DST",
  });
}

function isWindowsPath(path: CopyPath): boolean {
  return path.kind === "host" && process.platform === "win32";
}

async function kindOf(path: Exclude<CopyPath, { kind: "stream" }>, vm: SmolVM): Promise<PathKind> {
  if (path.kind === "host") {
    try {
      const stats = await stat(path.path);
      return stats.isFile() ? "file" : stats.isDirectory() ? "directory" : "other";
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT") return undefined;
      throw new SmolVMError("FILE_FAILED", `'${path.path}' cannot be read: ${(error as Error).message}`, {
        details: { errno: code },
        cause: error,
      });
    }
  }
  try {
    const { type } = await vm.files.stat(path.path);
    return type === "file" || type === "directory" ? type : "other";
  } catch (error) {
    if (isSmolVMError(error, "FILE_NOT_FOUND")) return undefined;
    throw error;
  }
}

export const cp: Command = { spec, run: cpCommand };
