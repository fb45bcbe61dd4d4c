import type { Arch } from "../../config/spec.ts";
import { type ComposedImage, composeImage, type ImageParts } from "../../images/boot/compose.ts";
import { stageImageName } from "../../images/store/reference.ts";
import type { Build } from "../build.ts";
import { touchStageImage } from "./stage-images.ts";

/** Makes an image of the store of what a stage has come to. */
export async function compose(
  { home, deadline, onProgress }: Build,
  parts: ImageParts,
  name: string,
  arch: Arch,
): Promise<ComposedImage> {
  return await composeImage(home.paths, parts, { arch, name, made: "build", deadline, onProgress });
}

/** Makes what a stage boots from, which this build or another one may have done before. @param key of the stage so far */
export async function composeStage(
  build: Build,
  parts: ImageParts,
  key: string,
  arch: Arch,
): Promise<{ readonly name: string; readonly composed: boolean }> {
  const name = stageImageName(key);
  const { composed } = await compose(build, parts, name, arch);
  await touchStageImage(build.home.paths, name, arch);
  return { name, composed };
}
