import { isOlder } from "../../util/versions.ts";

/** The version that scripts/system-setup.sh installs. */
export const FIRECRACKER_VERSION = "1.16.2";
/** The oldest one that may run. */
const OLDEST = "1.14.1";

/** Why a version of Firecracker must not run sandboxes, or undefined. Pure. */
export function firecrackerRefusal(version: string): string | undefined {
  if (isOlder(version, OLDEST))
    return `${version} is older than ${OLDEST}, before which the jailer follows symbolic links (CVE-2026-1386)`;
  if (version === "1.16.0") return "1.16.0 loses the channel to a restored guest";
  return undefined;
}

/** The version in what `firecracker --version` or `jailer --version` prints, or undefined. Pure. */
export function readVersion(output: string): string | undefined {
  return /^(?:Firecracker|Jailer) v(\d+\.\d+\.\d+)/im.exec(output)?.[1];
}
