import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { failpoint } from "../../host/failpoint.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { TarStep } from "../../util/tar/reader.ts";
import { KeptTar } from "./kept-tar.ts";
import { type LayerFile, readLayer } from "./layer-stream.ts";
import { TREE_LIMITS, Tree } from "./tree.ts";
import { writeErofs } from "./write-erofs.ts";

/** A layer's tar may hold this much that is no content: headers, padding, what a higher layer hides. */
const OVERHEAD_BYTES = 16 * 1024 ** 3;
/** Most that is kept unpacked between the two readings, all layers together: unpacking takes longer than reading, and an archive may be a bomb. */
const KEPT_BYTES = 4 * 1024 ** 3;
/** Told no more often than for so many bytes. */
const TELL_BYTES = 8 * 1024 * 1024;

export interface UnpackOptions {
  /** its name, for errors */
  readonly image: string;
  /** what the file system is of: it gets a UUID from that, so that the same is the same */
  readonly identity: string;
  /** directories that are made if they are missing: the image's volumes */
  readonly directories: readonly string[];
  readonly deadline: Deadline;
  /** 0..1 */
  readonly onFraction?: ((fraction: number) => void) | undefined;
}

/**
 * Makes one read-only file system of layers, as an ordinary user and without mounts. They are read twice: to know what of them is left, and
 * to write that. Until then their tars lie beside it (`PATH.0.tar` ...), as far as there is room. Constant memory but for the names.
 * @param layers from the lowest up
 * @throws SmolVMError IMAGE_INVALID, NOT_SUPPORTED, TIMEOUT, ABORTED
 */
export async function unpackImage(
  path: string,
  layers: readonly LayerFile[],
  { image, identity, directories, deadline, onFraction }: UnpackOptions,
): Promise<void> {
  const tree = new Tree(image);
  const sizes = await Promise.all(layers.map(async (layer) => (await stat(layer.path)).size));
  const packed = Math.max(
    1,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  // Of each layer it is known how large it is packed: the first time through tells how large it is unpacked.
  const unpacked: number[] = layers.map(() => 0);
  const kept: KeptTar[] = [];
  try {
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
        onBytes: (count) => (unpacked[index]! += count),
        keep: (bytes) => tar.write(bytes),
      })) {
        if (step.step === "entry") tree.apply(step.entry);
      }
      await tar.end();
      room -= tar.bytes;
      left -= unpacked[index]!;
      packedDone += sizes[index]!;
      onFraction?.((0.4 * packedDone) / packed);
    }
    tree.addDirectories(directories);
    const total = Math.max(
      1,
      unpacked.reduce((sum, size) => sum + size, 0),
    );
    let done = 0;
    let told = 0;
    const again = (index: number): AsyncIterable<TarStep> =>
      readLayer(
        // What it is was checked the first time; a file of the store is not changed.
        kept[index]!.path === undefined
          ? { path: layers[index]!.path }
          : { path: kept[index]!.path, plain: true },
        {
          image,
          deadline,
          maxBytes: unpacked[index]!,
          onBytes: (count) => {
            done += count;
            if (done - told < TELL_BYTES) return;
            told = done;
            onFraction?.(0.4 + 0.6 * (done / total));
          },
        },
      );
    await writeErofs(path, tree, {
      layers: layers.length,
      layer: again,
      uuid: createHash("sha256").update(identity).digest().subarray(0, 16),
    });
  } finally {
    for (const tar of kept) await tar.remove();
  }
}
