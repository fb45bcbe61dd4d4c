import { SmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { signalNumber } from "../../util/guest-signals.ts";
import { shown } from "../../util/shown.ts";
import { call } from "../session/call.ts";
import type { AgentSession } from "../session/session.ts";
import type { KillOptions, Limits, ProcessInfo } from "../types.ts";
import { Process } from "../wire/messages.ts";
import { RecordDecoder } from "../wire/records.ts";
import { decode } from "../wire/schema.ts";
import { violation } from "../wire/violation.ts";
import { processExit } from "./run-result.ts";

/** Most of a process list that is taken from a guest. */
const MAX_LIST_BYTES = 16 * 1024 * 1024;
const MAX_LIST_ENTRIES = 100_000;

function text(bytes: Uint8Array): string {
  return escapeTerminal(Buffer.from(bytes).toString("utf8"));
}

function processInfo(process: Process): ProcessInfo {
  const exit = process.running ? undefined : processExit(process, 0);
  return {
    id: process.process,
    pid: process.pid,
    argv: process.argv.map(text),
    running: process.running,
    exitCode: exit?.exitCode,
    signal: exit?.signal,
    detached: process.detached,
    pty: process.pty,
    startedAt: new Date(process.startedS * 1000),
    user: text(process.user),
    processes: process.running && process.processes === 0 ? undefined : process.processes,
  };
}

/**
 * The processes that the agent started, of all sessions: what runs, what has ended and left processes in the background (the last 512), and the last
 * 64 detached ones that have finished.
 *
 * @throws SmolVMError TIMEOUT, ABORTED, AGENT_LOST, AGENT_PROTOCOL
 */
export async function listProcesses(session: AgentSession, limits: Limits = {}): Promise<ProcessInfo[]> {
  const list: ProcessInfo[] = [];
  let bytes = 0;
  const records = new RecordDecoder((record) => {
    if (list.length >= MAX_LIST_ENTRIES)
      throw violation(`a process list of more than ${MAX_LIST_ENTRIES} entries`);
    list.push(processInfo(decode(Process, record)));
  });
  const what = "listing the sandbox's processes";
  await call(
    session,
    { open: { processList: {} }, what, effects: false, context: "process" },
    Deadline.of(what, limits),
    {
      data(piece, stream) {
        bytes += piece.length;
        if (bytes > MAX_LIST_BYTES) throw violation(`a process list of more than ${MAX_LIST_BYTES} bytes`);
        records.push(piece);
        stream.grant(1, piece.length);
      },
    },
  );
  records.finish();
  return list;
}

/** @throws SmolVMError CONFIG_INVALID unless it is one of the agent's numbers */
export function checkProcessId(id: number): void {
  if (Number.isSafeInteger(id) && id >= 0) return;
  throw new SmolVMError("CONFIG_INVALID", `the process ${shown(id)} is not a number`, {
    hint: "Give the id of a process of processes.list().",
  });
}

/**
 * Sends a signal to a process by the agent's number for it. SIGKILL with `tree` is done when the guest's kernel says that nothing of it is
 * left (where the guest has cgroups; else when it was sent).
 *
 * @param id from {@link ProcessInfo} or {@link GuestProcess}
 * @param signal name or number; default "SIGTERM"
 * @throws SmolVMError PROCESS_NOT_FOUND, VM_BUSY if some of what was killed has not ended within 20 s, CONFIG_INVALID, TIMEOUT, ABORTED,
 *   AGENT_LOST, OUTCOME_UNKNOWN
 */
export async function signalProcess(
  session: AgentSession,
  id: number,
  signal: NodeJS.Signals | number = "SIGTERM",
  options: KillOptions = {},
): Promise<void> {
  checkProcessId(id);
  const number = signalNumber(signal);
  const what = `sending ${signal} to process ${id}`;
  await call(
    session,
    {
      open: { processSignal: { process: id, signal: number, tree: options.tree ?? false } },
      what,
      effects: true,
      urgent: true,
      context: "kill",
      details: { process: id },
    },
    Deadline.of(what, options),
  );
}
