import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Descriptor, ImageIndex, Platform } from "./manifest.ts";

/** What Go calls our architectures. */
export const GO_ARCH: Readonly<Record<Arch, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** Variants that run on each: the plain ones, and what every machine of that kind has (arm64 is v8). */
const VARIANTS: Readonly<Record<Arch, readonly (string | undefined)[]>> = {
  x86_64: [undefined, "", "v1"],
  aarch64: [undefined, "", "v8"],
};

/**
 * The manifest for a guest's architecture: the first of an index that fits. Attestations and artifacts, which are of no machine
 * ("unknown/unknown"), are passed over. One without a platform is taken only where it is the only one. Pure.
 * @throws SmolVMError IMAGE_NOT_FOUND, naming the platforms there are
 */
export function choosePlatform(index: ImageIndex, arch: Arch, name: string): Descriptor {
  const images = index.manifests.filter(({ platform }) => platform?.os !== "unknown");
  const fits = ({ platform }: { platform: Platform | undefined }): boolean =>
    platform?.os === "linux" &&
    platform.architecture === GO_ARCH[arch] &&
    VARIANTS[arch].includes(platform.variant);
  const found =
    images.find(fits) ?? (images.length === 1 && images[0]!.platform === undefined ? images[0] : undefined);
  if (found !== undefined) return found;
  const there = [
    ...new Set(images.flatMap(({ platform }) => (platform === undefined ? [] : [platformName(platform)]))),
  ];
  throw platformMissing(name, arch, there);
}

/** The error for an image that is for other machines. Pure. */
export function platformMissing(name: string, arch: Arch, there: readonly string[]): SmolVMError {
  const other: Arch = arch === "x86_64" ? "aarch64" : "x86_64";
  const otherThere = there.some((platform) => platform.startsWith(`linux/${GO_ARCH[other]}`));
  const shown = there.slice(0, 30).join(", ");
  return new SmolVMError("IMAGE_NOT_FOUND", `the image '${name}' is not there for linux/${GO_ARCH[arch]}`, {
    hint: otherThere
      ? `It is there for ${shown}. In an emulated guest: --arch ${other}`
      : `It is there for ${shown || "no machine that it names"}. Name another image, or another tag of it.`,
    details: { image: name, arch, platforms: there.slice(0, 100) },
  });
}

/** "linux/arm64/v8". Pure. */
export function platformName({ os, architecture, variant }: Platform): string {
  const safe = (text: string): string => text.replace(/[^\w.-]/g, "?").slice(0, 40);
  return [os, architecture, ...(variant ? [variant] : [])].map(safe).join("/");
}
