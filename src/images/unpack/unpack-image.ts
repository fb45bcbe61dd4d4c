import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { failpoint } from "../../host/failpoint.ts";
import type { Deadline } from "../../util/deadline.ts";
import { isNoSpace } from "../../util/no-space.ts";
import type { TarStep } from "../../util/tar/reader.ts";
import { KeptTar } from "./kept-tar.ts";
import { type LayerFile, readLayer } from "./layer-stream.ts";
import { TREE_LIMITS, Tree } from "./tree.ts";
import { BaseDamaged, BaseUnfit, UnpackedBase } from "./unpacked-base.ts";
import { writeErofs } from "./write-erofs.ts";

/** A layer's tar may hold this much that is no content: headers, padding, what a higher layer hides. */
const OVERHEAD_BYTES = 16 * 1024 ** 3;
/** Most that is kept unpacked between the two readings, all layers together: unpacking takes longer than reading, and an archive may be a bomb. */
const KEPT_BYTES = 4 * 1024 ** 3;
/** Told no more often than for so many bytes. */
const TELL_BYTES = 8 * 1024 * 1024;

/** Of all the time, what the first reading takes: for the progress. */
const FIRST_PART = 0.4;

/** What was made of the lowest of the layers before. */
export interface UnpackBase {
  readonly path: string;
  /** of the whole file, in hex: what is taken from it is believed only if it is that */
  readonly sha256: string;
  /** of how many */
  readonly layers: number;
  /** what it was given for `directories`: all of them are given again */
  readonly directories: readonly string[];
}

export interface UnpackOptions {
  /** its name, for errors */
  readonly image: string;
  /** what the file system is of: it gets a UUID from that, so that the same is the same */
  readonly identity: string;
  /** directories that are made if they are missing: the image's volumes */
  readonly directories: readonly string[];
  readonly base?: UnpackBase | undefined;
  /** told if the base is not what was recorded: then it is not used */
  readonly onDamagedBase?: (() => void) | undefined;
  readonly deadline: Deadline;
  /** 0..1 */
  readonly onFraction?: ((fraction: number) => void) | undefined;
}

/**
 * Makes one read-only file system of layers, as an ordinary user and without mounts. They are read twice: to know what of them is left, and
 * to write that. Until then their tars lie beside it (`PATH.0.tar` ...), as far as there is room. Those of a base are not read, and it is the same bytes. Constant memory but for the names.
 * @param layers from the lowest up
 * @throws SmolVMError IMAGE_INVALID, NOT_SUPPORTED, TIMEOUT, ABORTED
 */
export async function unpackImage(
  path: string,
  layers: readonly LayerFile[],
  options: UnpackOptions,
): Promise<void> {
  if (await unpackOverBase(path, layers, options)) return;
  await unpack(path, layers, options);
}

/** @returns false: there is no base, or it does not serve */
async function unpackOverBase(
  path: string,
  layers: readonly LayerFile[],
  options: UnpackOptions,
): Promise<boolean> {
  const { base } = options;
  if (base === undefined) return false;
  let opened: UnpackedBase | undefined;
  try {
    opened = await UnpackedBase.open(base.path, base.sha256);
    await unpack(path, layers.slice(base.layers), options, opened);
    return true;
  } catch (error) {
    if (isMissing(error)) return false; // it was removed meanwhile
    const isDamaged =
      error instanceof BaseDamaged ||
      (!(error instanceof BaseUnfit) && !isNoSpace(error) && (await isOther(base, options.deadline)));
    if (isDamaged) options.onDamagedBase?.();
    if (isDamaged || error instanceof BaseUnfit) return false;
    throw error;
  } finally {
    await opened?.close();
  }
}

function isMissing(error: unknown): boolean {
  return (error as { code?: unknown } | undefined)?.code === "ENOENT";
}

/** Whether the file is not what was recorded: then nothing that came of it means anything, an error neither. */
async function isOther({ path, sha256 }: UnpackBase, deadline: Deadline): Promise<boolean> {
  if (deadline.expired) return false;
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 }))
    hash.update(chunk as Buffer);
  return hash.digest("hex") !== sha256;
}

async function unpack(
  path: string,
  layers: readonly LayerFile[],
  options: UnpackOptions,
  base?: UnpackedBase,
): Promise<void> {
  const kept: KeptTar[] = [];
  try {
    const tree = new Tree(options.image, base && { base: base.tree });
    if (base !== undefined && !tree.hasPlain(options.base!.directories))
      throw new BaseUnfit("made through a symlink");
    const tarBytes = await readTree(path, layers, kept, tree, options);
    tree.addDirectories(options.directories);
    const write = async (): Promise<void> => {
      const onBytes = secondPart([base?.tree.contentBytes ?? 0, ...tarBytes], options.onFraction);
      const read = (index: number): AsyncIterable<TarStep> =>
        readAgain(layers[index]!, kept[index]!, tarBytes[index]!, onBytes, options);
      await writeErofs(path, tree, {
        layers: layers.length + (base === undefined ? 0 : 1),
        layer:
          base === undefined ? read : (index) => (index === 0 ? base.contents(onBytes) : read(index - 1)),
        uuid: createHash("sha256").update(options.identity).digest().subarray(0, 16),
        overBase: base !== undefined,
      });
      await base?.checkWhole();
    };
    try {
      await write();
    } catch (error) {
      if (!isNoSpace(error) || kept.every((tar) => tar.path === undefined)) throw error;
      // What was kept to save time may be what takes the room.
      for (const tar of kept) await tar.remove();
      await write();
    }
  } finally {
    for (const tar of kept) await tar.remove();
  }
}

/**
 * The first time through: what all layers together are.
 * @param kept gets each layer's tar; whoever gives it removes them, also after an error
 * @returns how large each layer's tar is
 */
async function readTree(
  path: string,
  layers: readonly LayerFile[],
  kept: KeptTar[],
  tree: Tree,
  { image, deadline, onFraction }: UnpackOptions,
): Promise<readonly number[]> {
  // Of each layer it is known how large it is packed: only this time through tells how large it is unpacked.
  const packedBytes = await Promise.all(layers.map(async (layer) => (await stat(layer.path)).size));
  const allPacked = Math.max(1, sum(packedBytes));
  const tarBytes = layers.map(() => 0);
  let left = TREE_LIMITS.contentBytes + OVERHEAD_BYTES;
  let packedDone = 0;
  let room = KEPT_BYTES;
  for (const [index, layer] of layers.entries()) {
    failpoint("pull layer");
    tree.nextLayer();
    const tar = await KeptTar.create(`${path}.${index}.tar`, room);
    kept.push(tar);
    for await (const step of readLayer(layer, {
      image,
      deadline,
      maxBytes: left,
      onBytes: (count) => (tarBytes[index]! += count),
      keep: (bytes) => tar.write(bytes),
    })) {
      if (step.step === "entry") tree.apply(step.entry);
    }
    await tar.end();
    room -= tar.bytes;
    left -= tarBytes[index]!;
    packedDone += packedBytes[index]!;
    onFraction?.((FIRST_PART * packedDone) / allPacked);
  }
  return tarBytes;
}

/** Counts what is read the second time, and tells how far all of it is. */
function secondPart(
  tarBytes: readonly number[],
  onFraction: UnpackOptions["onFraction"],
): (count: number) => void {
  const total = Math.max(1, sum(tarBytes));
  let done = 0;
  let told = 0;
  return (count) => {
    done += count;
    if (done - told < TELL_BYTES) return;
    told = done;
    onFraction?.(FIRST_PART + (1 - FIRST_PART) * (done / total));
  };
}

/** A layer the second time: its tar where that was kept, else it is unpacked again. What it is was checked the first time; a file of the store is not changed. */
function readAgain(
  layer: LayerFile,
  kept: KeptTar,
  maxBytes: number,
  onBytes: (count: number) => void,
  { image, deadline }: UnpackOptions,
): AsyncIterable<TarStep> {
  const file = kept.path === undefined ? { path: layer.path } : { path: kept.path, plain: true };
  return readLayer(file, { image, deadline, maxBytes, onBytes });
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
