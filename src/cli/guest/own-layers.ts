import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { processPaths } from "../../host/files/paths.ts";
import type { SavedParts } from "../../images/save.ts";
import { readImage } from "../../images/store/store.ts";
import { SmolVM } from "../../smolvm.ts";
import type { Deadline } from "../../util/deadline.ts";
import { knownOwnParts, makeOwnParts } from "../../vm/commit/own-parts.ts";
import { openHome } from "../../vm/home.ts";

/**
 * What is given on of an image that smolvm has made itself: its one layer is read out of a sandbox of it, the first time.
 * @returns undefined: it has layers of its own, or is not there
 * @throws SmolVMError as SmolVM.create, and as makeOwnParts
 */
export async function ownLayers(
  image: string,
  { arch, deadline, onProgress }: { arch: Arch; deadline: Deadline; onProgress: OnProgress },
): Promise<SavedParts | undefined> {
  const found = await readImage(processPaths(), image, arch);
  if (found === undefined || found.image.origin !== undefined) return undefined;
  const { name } = found.image;
  const home = openHome();
  const known = await knownOwnParts(home, name, arch);
  if (known !== undefined) return known;
  onProgress({ stage: "layer", message: `reading ${name} out of a sandbox, once` });
  const vm = await SmolVM.create({ image: name, arch, network: "off", pull: "never", ...deadline.limits });
  try {
    return await makeOwnParts(home, vm.id, { name, arch }, deadline, onProgress);
  } finally {
    await vm.delete({ force: true });
  }
}
