import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { failpoint } from "../../host/failpoint.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type ConfigDocument, emptyDocument, type RunConfig } from "../layer/config-document.ts";
import type { MadeLayer } from "../layer/layer-file.ts";
import { type Descriptor, invalid, jsonObject, MEDIA_TYPES } from "../oci/manifest.ts";
import { pullImage } from "../pull.ts";
import type { ImageSource, SourceDocument } from "../registry/source.ts";
import { storedParts } from "../save.ts";
import type { Image } from "../store/image.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";
import type { StoredImage } from "../store/store.ts";
import { findBasis } from "./pull-image.ts";

/** An image as it is put together: its config document, and its layers from the lowest up. */
export interface ImageParts {
  readonly document: ConfigDocument;
  readonly layers: readonly MadeLayer[];
}

/**
 * What an image of the store is made of, to make others over it.
 * @param own gives the one layer of an image that smolvm makes itself
 * @throws SmolVMError IMAGE_INVALID if its downloads were pruned; what `own` throws
 */
export async function partsOf(
  dirs: ImageDirs,
  stored: StoredImage,
  own: () => Promise<MadeLayer>,
): Promise<ImageParts> {
  const { image } = stored;
  if (image.origin === undefined) {
    const layer = await own();
    const plain = emptyDocument(image.arch);
    const document: ConfigDocument = {
      ...plain,
      created: image.createdAt,
      config: ownConfig(image.name),
      rootfs: { type: "layers", diff_ids: [layer.diffId] },
      history: [{ created: image.createdAt, created_by: `smolvm image build ${image.name}` }],
    };
    return { document, layers: [layer] };
  }
  const { blobs } = await storedParts(dirs, stored);
  const { configDigest, layers } = image.origin;
  const config = blobs.find(({ descriptor }) => descriptor.digest === configDigest)!;
  const raw = jsonObject(await readFile(config.path), image.name, "config") as Partial<ConfigDocument>;
  const diffIds = raw.rootfs?.diff_ids ?? [];
  if (diffIds.length !== layers.length)
    throw invalid(image.name, "its config names other layers than it has");
  const document: ConfigDocument = {
    ...emptyDocument(image.arch),
    ...raw,
    config: raw.config ?? {},
    rootfs: { type: "layers", diff_ids: diffIds },
    history: raw.history ?? [],
  };
  return { document, layers: layers.map((descriptor, index) => ({ descriptor, diffId: diffIds[index]! })) };
}

/** What an image of ours says to others of how it is run. */
function ownConfig(name: string): RunConfig {
  return {
    Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    Cmd: [name === "debian" ? "/bin/bash" : "/bin/sh"],
  };
}

/** What {@link composeImage} gives. */
export interface ComposedImage {
  readonly image: Image;
  /** false: the same image was there already */
  readonly composed: boolean;
}

/**
 * Puts an image together, and takes it into the store under a name, as one that is pulled.
 * @param made how it came to be; it is `reference` in what is known of it
 * @throws SmolVMError as pullImage
 */
export async function composeImage(
  dirs: ImageDirs,
  { document, layers }: ImageParts,
  options: {
    readonly arch: Arch;
    readonly name: string;
    readonly made: "commit" | "build";
    readonly deadline: Deadline;
    readonly onProgress?: OnProgress | undefined;
  },
): Promise<ComposedImage> {
  const config = await keep(dirs, Buffer.from(JSON.stringify(document)), MEDIA_TYPES.ociConfig);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config,
      layers: layers.map(({ descriptor }) => descriptor),
    }),
  );
  failpoint("before compose");
  const { stored, pulled } = await pullImage(dirs, new Kept(options.name, manifest), {
    ...options,
    reference: options.name,
    basis: () => findBasis(dirs, options),
  });
  return { image: stored.image, composed: pulled };
}

async function keep(dirs: ImageDirs, bytes: Buffer, mediaType: string): Promise<Descriptor> {
  const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
  await writeDurably(imageLayout(dirs).blob(digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

/** An image of which everything lies in the store already. */
class Kept implements ImageSource {
  readonly name: string;
  readonly #manifest: Buffer;

  constructor(name: string, manifest: Buffer) {
    this.name = name;
    this.#manifest = manifest;
  }

  async top(): Promise<SourceDocument> {
    return { bytes: this.#manifest, mediaType: MEDIA_TYPES.ociManifest };
  }

  async document(): Promise<SourceDocument> {
    return this.top();
  }

  async blob({ digest }: Descriptor): Promise<never> {
    throw invalid(this.name, `its layer ${digest} was removed meanwhile`);
  }

  async close(): Promise<void> {}
}
