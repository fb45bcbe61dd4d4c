import { constants } from "node:fs";
import { chmod, mkdir, open } from "node:fs/promises";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { HAS_MODES } from "../../util/host-files.ts";
import { Inflow } from "../session/inflow.ts";
import type { AgentSession } from "../session/session.ts";
import { TreeRecord } from "../wire/messages.ts";
import { RecordDecoder } from "../wire/records.ts";
import { decode } from "../wire/schema.ts";
import type { NameRules } from "./entry-path.ts";
import { guestPath, guestUser, showPath } from "./guest-path.ts";
import { hostError } from "./host-error.ts";
import { type HostTarget, hostTarget, stagingPath } from "./host-target.ts";
import { HostTree, type SkippedEntry, writeAll } from "./host-tree.ts";
import { mergeInto } from "./merge.ts";
import { mtimeOf, type TreeLimits, TreePolicy, type TreeStep } from "./tree-policy.ts";
import type { TransferOptions, TransferResult } from "./types.ts";

/** Options of `download`. */
export interface DownloadOptions extends TransferOptions, TreeLimits {}

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | (constants.O_NOFOLLOW ?? 0);

/** Copies a file or directory of the guest to the host; see {@link GuestFiles.download}. */
export async function download(
  session: AgentSession,
  from: string,
  to: string,
  options: DownloadOptions,
  deadline: Deadline,
): Promise<TransferResult> {
  guestPath(from);
  const target = await hostTarget(to, options.parents ?? false);
  try {
    return await downloadFile(session, from, target, options, deadline);
  } catch (error) {
    if (!isSmolVMError(error, "FILE_TYPE") || error.details.side === "host") throw error;
  }
  return downloadTree(session, from, target, options, deadline);
}

async function downloadFile(
  session: AgentSession,
  from: string,
  target: HostTarget,
  options: DownloadOptions,
  deadline: Deadline,
): Promise<TransferResult> {
  const what = `downloading ${showPath(from)}`;
  const open_ = { fileRead: { path: guestPath(from), user: guestUser(options.user) } };
  const inflow = new Inflow(session, { open: open_, what, effects: false, context: "file" }, deadline, false);
  inflow.result.catch(() => {}); // taking throws it
  const { file } = await inflow.opened;
  const staging = stagingPath(target.path);
  try {
    if (target.kind === "directory" || target.kind === "other") {
      const kind = target.kind === "directory" ? "a directory" : "no regular file";
      throw new SmolVMError("FILE_TYPE", `${what} failed: '${target.path}' is ${kind} on this machine`, {
        hint: "Give the path that the file shall have.",
        details: {
          side: "host",
          path: target.path,
          errno: target.kind === "directory" ? "EISDIR" : "EEXIST",
        },
      });
    }
    const handle = await open(staging, CREATE, 0o600);
    let bytes = 0;
    try {
      for (;;) {
        const pieces = await inflow.takeAll();
        if (pieces === undefined) break;
        for (const piece of pieces) bytes += piece.length;
        if (bytes > (options.maxBytes ?? Number.POSITIVE_INFINITY)) throw tooLarge(what, options.maxBytes!);
        await writeAll(handle, pieces);
        options.onProgress?.({ bytes, entries: 0 });
      }
      if (file !== undefined) {
        if (HAS_MODES) await handle.chmod(file.mode & 0o777);
        const mtime = mtimeOf(file);
        await handle.utimes(mtime, mtime);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(staging, target.path);
    return { entries: 1, bytes, skipped: [] };
  } catch (error) {
    inflow.cancel(error);
    await rm(staging, { force: true }).catch(() => {}); // the first failure is the one to tell
    throw hostError(error, what, target.path);
  }
}

function tooLarge(what: string, maxBytes: number): SmolVMError {
  return new SmolVMError("FILE_UNSAFE", `${what} failed: the sandbox sent more than ${maxBytes} bytes`, {
    hint: "Raise maxBytes if that is right.",
    details: { maxBytes },
  });
}

function nameRules(): NameRules {
  return process.platform === "win32" || process.platform === "darwin" ? process.platform : "linux";
}

async function downloadTree(
  session: AgentSession,
  from: string,
  target: HostTarget,
  options: DownloadOptions,
  deadline: Deadline,
): Promise<TransferResult> {
  const what = `downloading ${showPath(from)}`;
  if (target.kind === "file" || target.kind === "other") {
    throw new SmolVMError("FILE_TYPE", `${what} failed: '${target.path}' is no directory on this machine`, {
      hint: "Remove it, or give another path for the directory.",
      details: { side: "host", path: target.path, errno: "ENOTDIR" },
    });
  }
  // "/." makes a symlink to a directory mean the directory.
  const open_ = {
    treeRead: { path: guestPath(`${from.replace(/\/+$/, "")}/.`), user: guestUser(options.user) },
  };
  const inflow = new Inflow(session, { open: open_, what, effects: false, context: "file" }, deadline, true);
  inflow.result.catch(() => {}); // taking throws it
  const staging = stagingPath(target.path);
  const tree = new HostTree(staging);
  try {
    await mkdir(staging, 0o700);
    const policy = new TreePolicy(nameRules(), options);
    await receive(inflow, policy, tree, options);
    await tree.finish();
    if (target.kind === "absent") {
      await tree.finishDirectories(staging, new Set());
      await rename(staging, target.path);
    } else {
      const kept = await mergeInto(staging, target.path);
      await tree.finishDirectories(target.path, kept);
      await rm(staging, { recursive: true, force: true });
    }
    return { entries: policy.entries, bytes: policy.bytes, skipped: tree.skipped };
  } catch (error) {
    inflow.cancel(error);
    await tree.abandon();
    await removeStaging(staging);
    throw hostError(error, what, target.path);
  }
}

async function receive(
  inflow: Inflow,
  policy: TreePolicy,
  tree: HostTree,
  options: DownloadOptions,
): Promise<void> {
  let steps: TreeStep[] = [];
  const records = new RecordDecoder((record) => steps.push(policy.step(decode(TreeRecord, record))));
  for (;;) {
    const pieces = await inflow.takeAll();
    if (pieces === undefined) break;
    for (const piece of pieces) {
      records.push(piece);
      for (const step of steps) {
        const pending = tree.apply(step);
        if (pending !== undefined) await pending;
      }
      steps = [];
    }
    await tree.flush();
    options.onProgress?.({ bytes: policy.bytes, entries: policy.entries });
  }
  records.finish();
  policy.finish();
}

async function removeStaging(staging: string): Promise<void> {
  try {
    await rm(staging, { recursive: true, force: true });
  } catch {
    // Directories may have got a mode that keeps even their owner out; one more try with ours opened.
    await chmod(staging, 0o700).catch(() => {});
    await rm(staging, { recursive: true, force: true }).catch(() => {}); // the first failure is the one to tell
  }
}

export type { SkippedEntry };
