import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { GO_ARCH } from "../../images/oci/platform.ts";

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

/** The architecture that a platform stands for. Pure. @throws SmolVMError CONFIG_INVALID */
export function archOf(platform: string): Arch {
  const arch = archOfPlatform(platform);
  if (arch !== undefined) return arch;
  throw new SmolVMError("CONFIG_INVALID", `there is no platform '${platform}'`, {
    hint: PLATFORMS_HINT,
    details: { option: "platform" },
  });
}

/** Variables that are there for every ARG: what is built for, and where. Pure. */
export function platformVariables(target: Arch, host: Arch): ReadonlyMap<string, string> {
  return new Map([
    ["TARGETPLATFORM", `linux/${GO_ARCH[target]}`],
    ["TARGETOS", "linux"],
    ["TARGETARCH", GO_ARCH[target]],
    ["TARGETVARIANT", ""],
    ["BUILDPLATFORM", `linux/${GO_ARCH[host]}`],
    ["BUILDOS", "linux"],
    ["BUILDARCH", GO_ARCH[host]],
    ["BUILDVARIANT", ""],
  ]);
}
