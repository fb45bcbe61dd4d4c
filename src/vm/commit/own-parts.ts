import { createHash } from "node:crypto";
import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import { partsOf } from "../../images/boot/compose.ts";
import type { MadeLayer } from "../../images/layer/layer-file.ts";
import { parseImageDocument } from "../../images/oci/config.ts";
import { type Descriptor, MEDIA_TYPES } from "../../images/oci/manifest.ts";
import type { SavedParts } from "../../images/save.ts";
import { imageLayout } from "../../images/store/layout.ts";
import { imageNotFound } from "../../images/store/reference.ts";
import { readImage, type StoredImage } from "../../images/store/store.ts";
import { UNPACK_RECIPE } from "../../images/unpack/recipe.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { controlSession } from "../machine/go-on.ts";
import { knownLayer, ownLayer } from "./own-layer.ts";

/**
 * What an image that smolvm makes itself is to others, if that was made before: one layer, a config and a manifest. The same image is the same bytes.
 * @returns undefined: its layer has to be made ({@link makeOwnParts})
 * @throws SmolVMError IMAGE_NOT_FOUND
 */
export async function knownOwnParts(home: Home, name: string, arch: Arch): Promise<SavedParts | undefined> {
  const stored = await ownImage(home, name, arch);
  const layer = await knownLayer(home.paths, stored.image.digest);
  return layer && (await assemble(home, stored, layer));
}

/**
 * The same, with the layer read out of a sandbox of that image that runs.
 * @throws SmolVMError IMAGE_NOT_FOUND, VM_BUSY, NO_SPACE, TIMEOUT, ABORTED, AGENT_LOST
 */
export async function makeOwnParts(
  home: Home,
  id: string,
  { name, arch }: { readonly name: string; readonly arch: Arch },
  deadline: Deadline,
  onProgress: OnProgress | undefined,
): Promise<SavedParts> {
  const stored = await ownImage(home, name, arch);
  const session = await controlSession(home, home.store.vms.get(id), deadline);
  try {
    const layer = await ownLayer(home, stored.image, { deadline, onProgress }, (act) => act(session));
    return await assemble(home, stored, layer);
  } finally {
    await session.close();
  }
}

async function ownImage(home: Home, name: string, arch: Arch): Promise<StoredImage> {
  const stored = await readImage(home.paths, name, arch);
  if (stored !== undefined) return stored;
  throw imageNotFound(name, arch);
}

/** Puts config and manifest beside the layer, where those of pulled images lie. */
async function assemble({ paths }: Home, stored: StoredImage, layer: MadeLayer): Promise<SavedParts> {
  const { name, arch } = stored.image;
  const { document, layers } = await partsOf(paths, stored, async () => layer);
  const keep = async (value: object, mediaType: string): Promise<Descriptor> => {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    await writeDurably(imageLayout(paths).blob(digest), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const config = await keep(document, MEDIA_TYPES.ociConfig);
  const descriptors = layers.map(({ descriptor }) => descriptor);
  const manifest = await keep(
    { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers: descriptors },
    MEDIA_TYPES.ociManifest,
  );
  const pathOf = imageLayout(paths).blob;
  const parsed = parseImageDocument(Buffer.from(JSON.stringify(document)), arch, name);
  return {
    name,
    manifest,
    origin: {
      made: "build",
      reference: name,
      manifest: manifest.digest,
      recipe: UNPACK_RECIPE,
      config: parsed.config,
      layers: descriptors,
      configDigest: config.digest,
      history: parsed.history,
      created: parsed.created,
    },
    blobs: [config, ...descriptors].map((descriptor) => ({ descriptor, path: pathOf(descriptor.digest) })),
    manifestPath: pathOf(manifest.digest),
  };
}
