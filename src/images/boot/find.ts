import type { OnProgress } from "../../config/progress.ts";
import type { Arch, PullPolicy } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { nearest } from "../../util/nearest.ts";
import type { Image } from "../store/image.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";
import { imageNotFound, isOwnImage, isPlainName, OWN_IMAGES, type OwnImage } from "../store/reference.ts";
import {
  comesFromPackage,
  missingImage,
  otherArchHint,
  readImage,
  type StoredImage,
} from "../store/store.ts";
import { takeInstalled } from "./installed.ts";

export interface FindOptions {
  /** whether an image that is not here is pulled, or built if it is one of ours; default "never" */
  readonly pull?: PullPolicy | undefined;
  readonly deadline?: Deadline | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/**
 * The image that a name or reference stands for. One of ours that is not in the store is taken in from the guest bundle that is installed beside
 * smolvm, if there is one, and replaced when a newer bundle is installed; else it is built. Others are pulled, as `pull` says; what comes
 * from a directory or file of this machine is compared with that each time.
 * @throws SmolVMError IMAGE_NOT_FOUND, IMAGE_INVALID, CONFIG_INVALID, DEPENDENCY_MISSING, NO_SPACE, TIMEOUT, ABORTED; what pulling throws
 */
export async function findImage(
  dirs: ImageDirs,
  name: string,
  arch: Arch,
  options: FindOptions = {},
): Promise<Image> {
  const { pull = "never", onProgress } = options;
  const found = await readImage(dirs, name, arch);
  if (found !== undefined && found.image.origin === undefined) {
    const replaceable = comesFromPackage(imageLayout(dirs).ref(found.image.name, arch));
    return replaceable
      ? ((await takeInstalled(dirs, name, arch, options, found)) ?? found).image
      : found.image;
  }
  if (found !== undefined && (pull === "never" || (pull === "missing" && !isOfThisMachine(found))))
    return found.image;
  const installed = found === undefined ? await takeInstalled(dirs, name, arch, options) : undefined;
  if (installed !== undefined) return installed.image;
  if (pull === "never") throw await missingImage(dirs, name, arch);
  const deadline = options.deadline ?? Deadline.of(`getting the image '${name}'`);
  // Loaded only here: what boots every day is in the store.
  if (isOwnImage(name)) return await makeOwn(dirs, name, arch, { deadline, onProgress });
  const { pullNamed } = await import("./pull-image.ts");
  try {
    return (await pullNamed(dirs, name, { arch, deadline, onProgress })).image;
  } catch (error) {
    // The directory that it is from may be gone: then it is what it was.
    if (found !== undefined && pull === "missing" && (error as { code?: unknown }).code === "FILE_NOT_FOUND")
      return found.image;
    const own = isPlainName(name) ? nearest(name, OWN_IMAGES) : undefined;
    const meant = own === undefined ? undefined : `Did you mean the image ${own}?`;
    throw withHint(error, (found === undefined && (await otherArchHint(dirs, name, arch))) || meant);
  }
}

/** Makes an image of ours, unless that takes minutes in a sandbox of another architecture: that is for who asks for it. */
async function makeOwn(
  dirs: ImageDirs,
  name: OwnImage,
  arch: Arch,
  { deadline, onProgress }: { readonly deadline: Deadline; readonly onProgress: OnProgress | undefined },
): Promise<Image> {
  const { buildImage, needsGuest } = await import("../build.ts");
  if (needsGuest(name, arch)) throw imageNotFound(name, arch);
  const { image } = await buildImage(dirs, name, {
    arch,
    deadline,
    onProgress: ({ message, ...progress }) =>
      onProgress?.({ ...progress, message: `making the image ${name}, once: ${message}` }),
  });
  return image;
}

function isOfThisMachine({ image }: StoredImage): boolean {
  return /^(?:oci|docker-archive):/.test(image.name);
}

/** What was most likely meant: one of that name that is here for the other architecture, or an image of ours with nearly that name; and not one of Docker's registry. */
function withHint(error: unknown, meant: string | undefined): unknown {
  if (meant === undefined || !(error instanceof SmolVMError)) return error;
  const { code, message, details, hint } = error;
  return new SmolVMError(code, message, { hint: `${meant} ${hint}`, details, cause: error });
}
