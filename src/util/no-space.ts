import { isSmolVMError, SmolVMError } from "../errors.ts";

/** What programs say, and how ours tell an errno (28 and 122 are Linux's). */
const SAID = /ENOSPC|EDQUOT|No space left on device|Disk quota exceeded|os error (?:28|122)\b/i;

/** Whether that failed for want of room: the disk is full, or the user's quota is used up. */
export function isNoSpace(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  if (code === "ENOSPC" || code === "EDQUOT") return true;
  return typeof message === "string" && SAID.test(message);
}

/**
 * A failure for want of room as the error that says so; any other as it is.
 * @param message what there is no room for
 * @param directory where: it is there
 */
export function orNoSpace(
  error: unknown,
  message: string,
  directory: string,
  { hint = `Free some space: df -h '${directory}'`, details = {} }: NoSpaceWords = {},
): unknown {
  if (isSmolVMError(error, "NO_SPACE") || !isNoSpace(error)) return error;
  return new SmolVMError("NO_SPACE", message, { hint, details: { directory, ...details }, cause: error });
}

interface NoSpaceWords {
  readonly hint?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}
