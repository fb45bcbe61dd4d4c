import type { AgentSession } from "../../agent/session/session.ts";
import { isSmolVMError } from "../../errors.ts";

/** A guest notices once that its connections have ended. */
const TRIES = 3;

/**
 * The first request over a new session to a machine that was captured, or goes on from such a one. Where a capture ends sessions, the guest
 * may notice that only now, and then ends this one as well: it is made again, and asked again.
 * @param connect is told whether it is the first try: one that may fail at once can be quicker
 * @param ask must be fine to be asked twice
 * @throws what `connect` and `ask` throw
 */
export async function firstRequest<T>(
  connect: (isFirst: boolean) => Promise<AgentSession>,
  ask: (session: AgentSession) => Promise<T>,
): Promise<{ readonly session: AgentSession; readonly answer: T }> {
  for (let left = TRIES; ; left--) {
    let session: AgentSession | undefined;
    try {
      session = await connect(left === TRIES);
      return { session, answer: await ask(session) };
    } catch (error) {
      await session?.close();
      const lost = isSmolVMError(error, "AGENT_LOST") || isSmolVMError(error, "OUTCOME_UNKNOWN");
      if (!lost || left <= 1) throw error;
    }
  }
}
