import { stat } from "node:fs/promises";
import type { TransferResult } from "../../agent/files/types.ts";
import { escapeTerminal } from "../../agent/terminal.ts";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { SmolVM } from "../../smolvm.ts";
import type { Arguments } from "../args/arguments.ts";
import { type CopyPath, parseCopyPath } from "../args/copy-path.ts";
import { copyTarget, type PathKind } from "../args/copy-target.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { runningSandbox } from "../guest/running.ts";
import type { Io } from "../io.ts";

/** Notes about entries that were left out, before it becomes a flood. */
const SHOWN_SKIPPED = 10;

const spec: CommandSpec = {
  name: "cp",
  usage: "[OPTIONS] SRC NAME:DST | NAME:SRC DST",
  operands: { min: 2, max: 2, what: "the source or the destination", complete: "copy-paths" },
  options: COMMON_OPTIONS,
  exit: "plain",
  notes: [
    "Files and directories, with modes and times; paths in a sandbox are absolute. Into an existing directory the copy goes under its own name; SRC/. copies a directory's content alone. A local path with a colon in it is written ./a:b.",
  ],
  examples: [
    "smolvm cp report.py box:/root/",
    "smolvm cp ./src/. box:/srv/app",
    "smolvm cp box:/srv/app/out.csv .",
  ],
};

async function cpCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [sourceText, targetText] = args.operands as [string, string];
  const source = parseCopyPath(sourceText, process.platform);
  const target = parseCopyPath(targetText, process.platform);
  if (source.kind === target.kind) throw oneSandbox(source, target);
  const guest = source.kind === "guest" ? source : (target as CopyPath & { kind: "guest" });
  const vm = await runningSandbox(guest.name);
  try {
    io.onProgress({ stage: "copy", message: `copying ${sourceText} to ${targetText}` });
    const [sourceKind, targetKind] = await Promise.all([kindOf(source, vm), kindOf(target, vm)]);
    const to = copyTarget(
      { path: source.path, kind: sourceKind },
      { path: target.path, kind: targetKind },
      { source: sourceText, target: targetText },
    );
    const options = { signal: io.interrupts.signal };
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

/** Says what was left out: devices and the like, and symlinks that would have led out of the target. */
function noteSkipped(io: Io, skipped: TransferResult["skipped"]): void {
  for (const { path, reason } of skipped.slice(0, SHOWN_SKIPPED)) {
    io.note(`note: left out ${escapeTerminal(path)}: ${escapeTerminal(reason)}`);
  }
  if (skipped.length > SHOWN_SKIPPED)
    io.note(`note: left out ${skipped.length - SHOWN_SKIPPED} more; --json lists them`);
}

function oneSandbox(source: CopyPath, target: CopyPath): SmolVMError {
  if (source.kind === "host") {
    return usage(
      spec,
      "neither path is in a sandbox",
      `Write: smolvm cp ${source.path} NAME:${target.path.startsWith("/") ? target.path : `/${target.path}`}`,
    );
  }
  return new SmolVMError("NOT_SUPPORTED", "copying between sandboxes is not built", {
    hint: "Copy to this machine first, then from it.",
  });
}

async function kindOf(path: CopyPath, vm: SmolVM): Promise<PathKind> {
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
