import { Deadline } from "../../util/deadline.ts";
import type { AgentSession } from "../session/session.ts";

/**
 * How long the result of a killed command is waited for, in ms: longer than the guest itself waits for the end of all that the
 * command started (PROTOCOL.md), and its answer's way.
 */
const KILL_WAIT_MS = 22_000;
/** A guest whose agent does not answer a PING within this does not answer at all, in ms. */
const SILENCE_MS = 3_000;

/**
 * Waits for the result of a command that the guest was just told to kill: calls `giveUp` when it need not be waited for any
 * longer.
 * @returns what ends the wait
 */
export function waitForKill(session: AgentSession, giveUp: () => void): () => void {
  let over = false;
  const end = (): void => {
    over = true;
    clearTimeout(timer);
  };
  const late = (): void => {
    if (over) return;
    end();
    giveUp();
  };
  const timer = setTimeout(late, KILL_WAIT_MS);
  session.ping(Deadline.of("a killed command's guest", { timeoutMs: SILENCE_MS })).catch(late);
  return end;
}
