import { SmolVMError } from "../../errors.ts";

/**
 * How a session ended: `goodbye`: the guest announced that the machine stops; `lost`: the channel ended without a word (the
 * machine crashed or was killed); `closed`: by this process; `protocol`: the guest broke the protocol and was cut off.
 */
export interface SessionEnd {
  readonly reason: "goodbye" | "lost" | "closed" | "protocol";
  /** the end as a clause, e.g. "the channel to the guest ended" */
  readonly message: string;
  /** the broken rule, or the socket's error */
  readonly cause: unknown;
}

/** What a request had come to when its session ended. */
export interface Interrupted {
  /** the request in the user's words, e.g. "running 'make'" */
  readonly what: string;
  /** it was sent, so the guest may have acted on it */
  readonly dispatched: boolean;
  /** acting on it changes something in the guest */
  readonly effects: boolean;
  /** it is a command that had begun */
  readonly running?: boolean;
}

const HINTS = {
  goodbye: "The sandbox was stopped. Start it again to go on.",
  lost: "See the sandbox's console for what happened: smolvm logs NAME",
  closed: undefined,
  protocol: "The sandbox is not to be trusted any more: delete it and create a new one.",
} as const;

/**
 * The error for a request that its session's end cut off: AGENT_PROTOCOL if the guest broke the protocol, OUTCOME_UNKNOWN if
 * the request may have been carried out and that matters, or a command was running, else AGENT_LOST.
 */
export function interruptedError(end: SessionEnd, request: Interrupted): SmolVMError {
  const details = { sessionEnd: end.reason, dispatched: request.dispatched };
  const options = { hint: HINTS[end.reason], details, cause: end.cause };
  if (end.reason === "protocol") {
    return new SmolVMError("AGENT_PROTOCOL", `${request.what} failed: ${end.message}`, options);
  }
  if (request.running === true) {
    return new SmolVMError(
      "OUTCOME_UNKNOWN",
      `${request.what} was cut off: ${end.message} while it ran; how it ended is not known`,
      { ...options, details: { ...details, started: true } },
    );
  }
  if (request.dispatched && request.effects) {
    return new SmolVMError(
      "OUTCOME_UNKNOWN",
      `${request.what} may or may not have happened: ${end.message} before the guest answered`,
      options,
    );
  }
  return new SmolVMError("AGENT_LOST", `${request.what} failed: ${end.message}`, options);
}
