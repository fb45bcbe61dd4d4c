import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip, type Gzip } from "node:zlib";
import { failpoint } from "../../host/failpoint.ts";
import { rename, rm } from "../../util/files-go.ts";
import { orNoSpace } from "../../util/no-space.ts";
import { type Descriptor, MEDIA_TYPES } from "../oci/manifest.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";

/** A layer that was made here, and lies where downloaded ones do. */
export interface MadeLayer {
  readonly descriptor: Descriptor;
  /** sha256 of its tar, "sha256:..." */
  readonly diffId: string;
}

/** zlib's own middle: a higher one takes twice as long and saves two in a hundred. */
const LEVEL = 6;
/** Which system has packed it (RFC 1952, OS): unknown. Node says which, and the same tar would be other bytes on macOS. */
const NO_SYSTEM = 255;
const SYSTEM_AT = 9;

/** A layer in the making: its tar is packed as it comes, in constant memory. */
export class LayerFile {
  readonly #dirs: ImageDirs;
  readonly #temporary: string;
  readonly #gzip: Gzip;
  readonly #tar = createHash("sha256");
  readonly #packed = createHash("sha256");
  readonly #done: Promise<void>;
  #size = 0;

  private constructor(dirs: ImageDirs, temporary: string) {
    this.#dirs = dirs;
    this.#temporary = temporary;
    this.#gzip = createGzip({ level: LEVEL });
    const count = this.#count.bind(this);
    this.#done = pipeline(
      this.#gzip,
      async function* (chunks: AsyncIterable<Buffer>) {
        for await (const chunk of chunks) yield count(chunk);
      },
      createWriteStream(temporary, { flags: "wx", mode: 0o600 }),
    );
    this.#done.catch(() => {}); // whoever writes hears of it
  }

  static async create(dirs: ImageDirs): Promise<LayerFile> {
    const { blobs } = imageLayout(dirs);
    await mkdir(blobs, { recursive: true, mode: 0o700 });
    // One whose maker has died is told by its name (store/unfinished.ts).
    return new LayerFile(dirs, join(blobs, `layer.${process.pid}.${randomBytes(4).toString("hex")}.tmp`));
  }

  #count(chunk: Buffer): Buffer {
    if (this.#size === 0 && chunk.length > SYSTEM_AT) chunk[SYSTEM_AT] = NO_SYSTEM;
    this.#size += chunk.length;
    this.#packed.update(chunk);
    return chunk;
  }

  /** The next bytes of the tar. @throws SmolVMError NO_SPACE */
  async write(bytes: Uint8Array): Promise<void> {
    this.#tar.update(bytes);
    if (this.#gzip.write(bytes)) return;
    try {
      await Promise.race([once(this.#gzip, "drain"), this.#done]);
    } catch (error) {
      throw this.#orNoSpace(error);
    }
  }

  /** It is whole, and gets its name. */
  async finish(): Promise<MadeLayer> {
    try {
      this.#gzip.end();
      await this.#done;
      const file = await open(this.#temporary, "r+");
      try {
        await file.sync();
      } finally {
        await file.close();
      }
      const descriptor: Descriptor = {
        mediaType: `${MEDIA_TYPES.ociLayer}+gzip`,
        digest: `sha256:${this.#packed.digest("hex")}`,
        size: this.#size,
      };
      failpoint("layer made");
      await rename(this.#temporary, imageLayout(this.#dirs).blob(descriptor.digest));
      return { descriptor, diffId: `sha256:${this.#tar.digest("hex")}` };
    } catch (error) {
      throw this.#orNoSpace(error);
    }
  }

  /** It is not wanted; nothing is left of it. Fine after {@link finish}. */
  async abandon(): Promise<void> {
    this.#gzip.destroy();
    await this.#done.catch(() => {});
    await rm(this.#temporary, { force: true });
  }

  #orNoSpace(error: unknown): unknown {
    const { blobs } = imageLayout(this.#dirs);
    return orNoSpace(error, "no space left for a layer of an image", blobs, {
      hint: "Free some space, or see what is not used: smolvm image prune --dry-run",
    });
  }
}
