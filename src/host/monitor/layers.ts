import type { Deadline } from "../../util/deadline.ts";
import { runProgram } from "../process/run.ts";
import { copyWithoutZeros } from "./copy-sparse.ts";
import { monitorProgram, noRoomFor } from "./memory.ts";

/** A file that is whole, or, with the map of what is its own, the difference to those below it. */
export interface LayerFile {
  readonly path: string;
  readonly map?: string | undefined;
}

/**
 * Writes what a file and the differences over it are together into a new one; of one alone it is a copy. It is as sparse, and shares blocks where the
 * file system can.
 * @param layers the lowest first: it is whole, and no other
 * @param to must not exist, or hold nothing; nothing is left there on failure
 * @throws SmolVMError NOT_SUPPORTED, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function joinLayers(
  layers: readonly LayerFile[],
  to: string,
  deadline: Deadline,
): Promise<void> {
  try {
    const [first, ...more] = layers;
    if (process.platform !== "linux" && first !== undefined && first.map === undefined && more.length === 0)
      return await copyWithoutZeros(first.path, to, deadline);
    await runProgram([monitorProgram(), "join", to, ...words(layers)], { deadline });
  } catch (error) {
    throw noRoomFor(to, error);
  }
}

/**
 * Leaves of a file what others do not have: all else becomes holes, and the map says which blocks are its own.
 * @param maxPercent of what it holds that may be its own; with more it stays whole
 * @returns whether it is a difference now, and has a map; never on hosts other than Linux, where it stays whole
 * @throws SmolVMError NOT_SUPPORTED, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED
 */
export async function subtractLayers(
  file: { readonly path: string; readonly map: string },
  layers: readonly LayerFile[],
  maxPercent: number,
  deadline: Deadline,
): Promise<boolean> {
  if (process.platform !== "linux") return false;
  const command = [monitorProgram(), "subtract", String(maxPercent), file.path, file.map, ...words(layers)];
  try {
    return (await runProgram(command, { deadline })).stdout.startsWith("difference");
  } catch (error) {
    throw noRoomFor(file.map, error);
  }
}

function words(layers: readonly LayerFile[]): string[] {
  return layers.flatMap(({ path, map }) => (map === undefined ? [path] : [path, map]));
}
