import { readFile, stat } from "node:fs/promises";
import type { AgentSession } from "../../agent/session/session.ts";
import type { OnProgress } from "../../config/progress.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import type { MadeLayer } from "../../images/layer/layer-file.ts";
import type { Image } from "../../images/store/image.ts";
import { imageLayout } from "../../images/store/layout.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { makeLayer } from "./layer.ts";

/**
 * The layer that an image of ours is for others: it is read out of a sandbox of that image, once, and kept.
 * @param over gives the session of a sandbox of that image to who reads it
 * @throws SmolVMError as makeLayer
 */
export async function ownLayer(
  { paths }: Home,
  image: Image,
  { deadline, onProgress }: { readonly deadline: Deadline; readonly onProgress?: OnProgress | undefined },
  over: <T>(act: (session: AgentSession) => Promise<T>) => Promise<T>,
): Promise<MadeLayer> {
  const known = await knownLayer(paths, image.digest);
  if (known !== undefined) return known;
  onProgress?.({ stage: "layer", message: `making a layer of ${image.name}, once` });
  const { layer } = await over((session) => makeLayer(paths, session, { base: true }, deadline));
  if (layer === undefined) throw new Error("an image has a root directory");
  await writeDurably(imageLayout(paths).ownLayer(image.digest), `${JSON.stringify(layer)}\n`);
  return layer;
}

/** The layer of an image of ours, if it was made and is kept. */
export async function knownLayer(
  dirs: { readonly cacheDir: string },
  digest: string,
): Promise<MadeLayer | undefined> {
  const layout = imageLayout(dirs);
  try {
    const layer = JSON.parse(await readFile(layout.ownLayer(digest), "utf8")) as MadeLayer;
    const { size } = await stat(layout.blob(layer.descriptor.digest));
    return size === layer.descriptor.size ? layer : undefined;
  } catch {
    return undefined; // it was not made, or was pruned
  }
}
