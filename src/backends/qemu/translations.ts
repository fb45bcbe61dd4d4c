import { closeSync } from "node:fs";
import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { messageOf } from "../../util/message-of.ts";
import { openWritten } from "../state-file.ts";
import type { QmpClient } from "./qmp-client.ts";

/**
 * Most bytes of translated code that are kept. After a flush and a start there are some 16 MiB, Python adds as much; more than this takes
 * longer to write than a machine should stand still for.
 */
const CODE_MAX_BYTES = 64 << 20;
/** The file with its lists: some bytes per block more. */
const FILE_MAX_BYTES = 2 * CODE_MAX_BYTES;

/** Where they come out: the one directory that QEMU can write to. */
const outPath = ({ runtimeDir }: VmFiles): string => join(runtimeDir, "translations");

/**
 * Has a machine that is stopped forget what it has translated so far, so that only what is used from now on is kept. Nothing that fails
 * here is a failure: it stays slow.
 * @returns why this machine's translations cannot be kept; undefined: they can
 */
export async function forgetTranslations(client: QmpClient, deadline: Deadline): Promise<string | undefined> {
  return await whyNot(deadline, () => client.execute("translations-flush", undefined, deadline));
}

/**
 * Writes what a machine that is stopped has translated into a file.
 * @param key what it is that goes on with it: {@link loadTranslations} takes the same only
 */
export async function saveTranslations(
  client: QmpClient,
  files: VmFiles,
  key: string,
  deadline: Deadline,
): Promise<SavedCode> {
  const filename = outPath(files);
  rmSync(filename, { force: true });
  const why = await whyNot(deadline, () =>
    client.execute("translations-save", { filename, key, max: CODE_MAX_BYTES }, deadline),
  );
  return { take: async (to) => why ?? (await takeFile(filename, to).catch(messageOf)) };
}

/** What was saved of a machine, which may go on before it is taken. */
export interface SavedCode {
  /**
   * Moves it to where it is kept: a file that is not there yet, or empty.
   * @returns why there is no such file; undefined: there is. Never rejects
   */
  readonly take: (to: string) => Promise<string | undefined>;
}

/**
 * Has a machine that waits for its state use such a file, from when it runs. One that is not known to be what was written is read, and compared with its checksum.
 * @returns why it does not; undefined: it does
 */
export async function loadTranslations(
  client: QmpClient,
  {
    path: filename,
    wholeFor,
    key,
  }: { readonly path: string; readonly wholeFor?: string; readonly key: string },
  deadline: Deadline,
): Promise<string | undefined> {
  const load = (more: object): Promise<string | undefined> =>
    whyNot(deadline, () => client.execute("translations-load", { filename, key, ...more }, deadline));
  if (wholeFor === undefined) return await load({});
  const why = await load({ whole: true });
  return why !== undefined && NOT_KNOWN.test(why) ? await load({}) : why; // a QEMU that an earlier version has built
}

/** How QEMU refuses an argument that a command of it has not. */
const NOT_KNOWN = /^Parameter '.*' is unexpected$/;

/** Copies what QEMU wrote, and may still write to, and removes it. */
async function takeFile(from: string, to: string): Promise<string | undefined> {
  try {
    const file = openWritten(from, FILE_MAX_BYTES);
    try {
      await copyFile(`/proc/self/fd/${file}`, to);
    } finally {
      closeSync(file);
    }
    if ((await stat(to)).size <= FILE_MAX_BYTES) return undefined;
    throw new Error("it grew while it was copied");
  } catch (error) {
    rmSync(to, { force: true }); // half of it
    return (error as Error).message;
  } finally {
    rmSync(from, { recursive: true, force: true });
  }
}

/** QEMU's reason to refuse; any other failure is one. */
async function whyNot(deadline: Deadline, act: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await act();
    return undefined;
  } catch (error) {
    deadline.check();
    if (!(error instanceof SmolVMError) || typeof error.details.class !== "string") throw error;
    return error.details.class === "CommandNotFound"
      ? "this QEMU keeps none (smolvm qemu build makes one that does)"
      : error.message.split(": ").slice(1).join(": ") || error.message;
  }
}
