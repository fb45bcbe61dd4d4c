import type { Deadline } from "../../util/deadline.ts";
import { Open, type Opened, type Result } from "../wire/messages.ts";
import { type Draft, encode } from "../wire/schema.ts";
import { type ErrorContext, guestError } from "./guest-error.ts";
import type { AgentSession } from "./session.ts";
import type { AgentStream, GuestChannel } from "./stream.ts";

/** Credit for answers that are consumed as they come, in bytes. */
const CALL_WINDOW: number = 1024 * 1024;

/** One request and what it is called. */
export interface Call {
  readonly open: Draft<Open>;
  /** in the user's words, e.g. "reading '/etc/hosts'" */
  readonly what: string;
  readonly effects: boolean;
  /** as in {@link StreamRequest} */
  readonly urgent?: boolean;
  readonly context: ErrorContext;
  /** the guest says OPENED first; default false */
  readonly opens?: boolean;
  /** credit for the answer's channels, in bytes; default {@link CALL_WINDOW} */
  readonly window?: number;
  /** facts for the error's `details` */
  readonly details?: Record<string, unknown> | ((result: Result) => Record<string, unknown>);
}

/** What happens in between. A hook that throws ends the call with what it threw. */
export interface CallHooks {
  /** @param giveUp ends the call: the guest is told to stop, and the promise rejects with the error */
  started?(stream: AgentStream, giveUp: (error: unknown) => void): void;
  opened?(opened: Opened, stream: AgentStream): void;
  /** whoever handles data grants its credit back */
  data?(piece: Buffer, stream: AgentStream, channel: GuestChannel): void;
  end?(channel: GuestChannel): void;
}

/**
 * Sends a request and resolves with its good result.
 *
 * @throws SmolVMError what the guest's error means, TIMEOUT or ABORTED by the deadline (the guest is told to stop), AGENT_LOST,
 *   OUTCOME_UNKNOWN or AGENT_PROTOCOL when the session ends
 */
export function call(
  session: AgentSession,
  request: Call,
  deadline?: Deadline,
  hooks: CallHooks = {},
): Promise<Result> {
  const { what, effects, context, details } = request;
  const window = request.window ?? CALL_WINDOW;
  return new Promise((resolve, reject) => {
    deadline?.check();
    const settle = (): void => {
      deadline?.signal.removeEventListener("abort", onLimit);
    };
    const give = (up: unknown): void => {
      settle();
      stream.abandon();
      reject(up);
    };
    const onLimit = (): void => give(deadline!.error());
    const hooked = (hook: () => void): void => {
      try {
        hook();
      } catch (error) {
        give(error);
      }
    };
    const stream: AgentStream = session.open(
      {
        open: encode(Open, { ...request.open, window }),
        what,
        effects,
        urgent: request.urgent ?? false,
        opens: request.opens ?? false,
        window,
      },
      {
        opened: (opened) => hooked(() => hooks.opened?.(opened, stream)),
        data: (channel, piece) => hooked(() => hooks.data?.(piece, stream, channel)),
        end: (channel) => hooked(() => hooks.end?.(channel)),
        result: (result) => {
          settle();
          if (result.error === undefined) return resolve(result);
          try {
            const facts = typeof details === "function" ? details(result) : details;
            reject(guestError(result.error, context, what, facts));
          } catch (error) {
            reject(error); // the guest's facts were none
          }
        },
        lost: (error) => {
          settle();
          reject(error);
        },
      },
    );
    deadline?.signal.addEventListener("abort", onLimit, { once: true });
    hooked(() => hooks.started?.(stream, give));
  });
}
