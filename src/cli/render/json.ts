import { SmolVMError } from "../../errors.ts";

/** What `--json` prints, for every command: one object, one line. */
export interface Envelope {
  readonly ok: boolean;
  /** the command as typed, e.g. "image ls" */
  readonly command: string;
  readonly data: unknown;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string;
    readonly details: SmolVMError["details"];
  } | null;
}

/** Envelope of a command that did what it was asked (a guest command that failed included: that is its result). Pure. */
export function successEnvelope(command: string, data: unknown): Envelope {
  return { ok: true, command, data: data ?? null, error: null };
}

/** Envelope of a command that failed. Pure. */
export function failureEnvelope(command: string, error: unknown): Envelope {
  const known = asSmolVMError(error);
  return {
    ok: false,
    command,
    data: null,
    error: { code: known.code, message: known.message, hint: known.hint, details: known.details },
  };
}

/** Anything thrown, as a SmolVMError: what is not one is a bug of ours, INTERNAL. Pure. */
export function asSmolVMError(error: unknown): SmolVMError {
  if (error instanceof SmolVMError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new SmolVMError("INTERNAL", message, {
    hint: "This is a bug in smolvm. Please report it with the output of the same command with --verbose.",
    cause: error,
  });
}
