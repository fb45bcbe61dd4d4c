import { type ErrorCode, isSmolVMError, SmolVMError } from "../errors.ts";
import type { Outcome } from "./command.ts";
import type { Io } from "./io.ts";
import { asSmolVMError } from "./render/json.ts";

/** What became of one of several things that a command was given. */
export interface Failure {
  readonly name: string;
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

/**
 * Does the same to each name, in order; a failing one does not keep the others from their turn. Interrupts do.
 * @returns what `act` returned for each
 * @throws SmolVMError the failure itself if there was one name, else one that lists all failures
 */
export async function forEachName<T>(
  names: readonly string[],
  act: (name: string) => Promise<T>,
): Promise<T[]> {
  const done: T[] = [];
  const failed: Failure[] = [];
  for (const name of new Set(names)) {
    try {
      done.push(await act(name));
    } catch (error) {
      if (names.length === 1 || isSmolVMError(error, "ABORTED")) throw error;
      const known = asSmolVMError(error);
      failed.push({ name, code: known.code, message: known.message, hint: known.hint });
    }
  }
  if (failed.length === 0) return done;
  const lines = failed.map(({ message }) => `  ${message}`);
  throw new SmolVMError(
    failed[0]!.code,
    `${failed.length} of ${new Set(names).size} failed:\n${lines.join("\n")}`,
    {
      hint: [...new Set(failed.map(({ hint }) => hint))].join("\n      "),
      details: { failed, done },
    },
  );
}

/** {@link forEachName}, printing each one's name as soon as it is done: what worked is told also where another fails. */
export async function changeEachName<T extends { readonly name: string }>(
  io: Io,
  names: readonly string[],
  act: (name: string) => Promise<T>,
): Promise<Outcome> {
  const data = await forEachName(names, async (name) => {
    const done = await act(name);
    io.endProgress();
    if (!io.json) await io.stdout.write(`${done.name}\n`);
    return done;
  });
  return io.json ? { data } : { data, printed: true };
}
