import type { ErrorCode, SmolVMErrorOptions } from "../../errors.ts";
import { messageOf } from "../../util/message-of.ts";
import type { StoppedBy } from "../types.ts";
import { GuestErrorCode, type Result } from "../wire/messages.ts";

/** Why a command was ended before its own end, by this side. */
export type Stop =
  | { readonly kind: "timeout"; readonly timeoutMs: number | undefined }
  | { readonly kind: "overflow"; readonly maxOutputBytes: number }
  | { readonly kind: "abort" | "callback" | "stdin"; readonly cause: unknown }
  | { readonly kind: "dispose" };

/** What is known of a command that was to be killed; "detached": it was only let go of. */
export type Fate = "confirmed" | "incomplete" | "unconfirmed" | "too late" | "never started" | "detached";

/** What an error says. */
export interface StopError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly options: SmolVMErrorOptions;
}

const FATES: Readonly<Record<Fate, string>> = {
  confirmed: "it and all it started were killed",
  incomplete: "it was killed, but the guest does not know that all it started has ended",
  unconfirmed: "the guest did not confirm that it was killed",
  "too late": "it ended by itself at that moment, and what it left in the background goes on",
  "never started": "it was not started",
  detached: "the process itself goes on",
};

/** What the result of a command that was to be killed says of its fate. `started`: the guest has said that it runs. Pure. */
export function fateOf({ error, allEnded }: Pick<Result, "error" | "allEnded">, started: boolean): Fate {
  if (!started || (error !== undefined && error.code !== GuestErrorCode.CANCELLED)) return "never started";
  if (error === undefined) return "too late";
  return allEnded ? "confirmed" : "incomplete";
}

/** What a result says of a stop; undefined for what is a failure and never a result. Pure. */
export function stoppedBy(stop: Stop | undefined): StoppedBy | undefined {
  const kind = stop?.kind;
  return kind === "timeout" || kind === "abort" || kind === "overflow" ? kind : undefined;
}

/**
 * The error for a command that was stopped. Pure.
 * @param what the command in the user's words, e.g. "running 'make'"
 */
export function stopError(what: string, stop: Stop, fate: Fate): StopError {
  const end = FATES[fate];
  const killed = { killed: fate };
  switch (stop.kind) {
    case "timeout": {
      const { timeoutMs } = stop;
      return {
        code: "RUN_TIMEOUT",
        message: `${what} did not finish within ${timeoutMs} ms; ${end}`,
        options: { details: { ...killed, timeoutMs } },
      };
    }
    case "overflow": {
      const { maxOutputBytes } = stop;
      return {
        code: "OUTPUT_LIMIT",
        message: `${what} printed more than ${maxOutputBytes} bytes; ${end}`,
        options: {
          hint: 'Raise maxOutputBytes, keep a part of it and go on (overflow: "keepLast"), or take it piece by piece: onStdout with capture: false, or spawn.',
          details: { ...killed, maxOutputBytes },
        },
      };
    }
    case "abort":
      return {
        code: "RUN_ABORTED",
        message: `${what} was aborted; ${end}`,
        options: { details: killed, cause: stop.cause },
      };
    case "callback":
      return {
        code: "RUN_ABORTED",
        message: `${what} was aborted because an output callback threw: ${messageOf(stop.cause)}; ${end}`,
        options: { details: killed, cause: stop.cause },
      };
    case "stdin":
      return {
        code: "HOST_FAILED",
        message: `${what} was ended because its stdin could not be read: ${messageOf(stop.cause)}; ${end}`,
        options: {
          hint: "Look at what its stdin comes from: it failed, and did not end.",
          details: killed,
          cause: stop.cause,
        },
      };
    case "dispose":
      return { code: "RUN_ABORTED", message: `${what} was given up; ${end}`, options: { details: killed } };
  }
}
