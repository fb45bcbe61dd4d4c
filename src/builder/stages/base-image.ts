import type { Arch } from "../../config/spec.ts";
import { type ImageParts, partsOf } from "../../images/boot/compose.ts";
import { findImage } from "../../images/boot/find.ts";
import { imageNotFound } from "../../images/store/reference.ts";
import { readImage } from "../../images/store/store.ts";
import { ownLayer } from "../../vm/commit/own-layer.ts";
import type { Build } from "../build.ts";
import { BuildMachine } from "../machine/machine.ts";
import { stepKey } from "./steps-cache.ts";

/** An image that is there before the build. */
export interface BaseImage {
  readonly name: string;
  readonly parts: ImageParts;
  readonly key: string;
  /** one of it that has been started for its parts */
  readonly machine: BuildMachine | undefined;
  /** smolvm makes it itself */
  readonly isOwn: boolean;
}

/** Finds an image, and pulls it if it has to be. @throws SmolVMError as pulling, IMAGE_NOT_FOUND */
export async function baseImage(build: Build, text: string, arch: Arch): Promise<BaseImage> {
  const { home, options, deadline, onProgress } = build;
  const { paths } = home;
  const { pull = "missing" } = options;
  await findImage(paths, text, arch, { pull, deadline, onProgress });
  const found = await readImage(paths, text, arch);
  if (found === undefined) throw imageNotFound(text, arch);
  const { image } = found;
  let machine: BuildMachine | undefined;
  const parts = await partsOf(paths, found, () =>
    ownLayer(home, image, { deadline, onProgress }, async (make) => {
      machine = await BuildMachine.start(build, image.name, arch);
      return machine.overControl(make);
    }),
  );
  const digest = image.origin?.manifest ?? image.digest;
  const isOwn = image.origin === undefined;
  return { name: image.name, parts, key: stepKey(["image", digest, arch]), machine, isOwn };
}
