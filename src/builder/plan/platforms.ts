import type { Arch } from "../../config/spec.ts";

/** What an image may be built for, as Docker calls it. */
const PLATFORMS: Readonly<Record<string, Arch>> = {
  "linux/amd64": "x86_64",
  "linux/arm64": "aarch64",
  "linux/arm64/v8": "aarch64",
};

/** What to write instead of another one. */
export const PLATFORMS_HINT = "Give linux/amd64 or linux/arm64.";

/** The architecture that a platform stands for; undefined: there is none. Pure. */
export function archOfPlatform(platform: string): Arch | undefined {
  return Object.hasOwn(PLATFORMS, platform) ? PLATFORMS[platform] : undefined;
}
