import { type Check, fail, pass, warn } from "../check.ts";

/** The operating system and CPU. */
export const platform: Check = ({ platform: system, hostArch }) => {
  const name = "Platform";
  if (hostArch === undefined) {
    return fail(name, `${system} on ${process.arch}`, "smolvm needs an x86_64 or aarch64 (arm64) machine.");
  }
  const detail = `${system} (${hostArch})`;
  if (system === "linux" || system === "darwin") return pass(name, detail);
  if (system === "win32") {
    return fail(
      name,
      detail,
      "Starting sandboxes on Windows hosts is not built yet: run smolvm inside WSL 2.",
    );
  }
  return warn(name, `${detail}: not tried`, "smolvm is tried on Linux and macOS.");
};

/** Versions of Node that have what smolvm uses (native TypeScript, node:sqlite, zstd). */
const NODE_MIN: readonly [number, number] = [22, 18];

/** The version of Node. */
export const node: Check = () => nodeResult(process.versions.node);

/** Whether a version of Node is new enough. Pure. */
export function nodeResult(version: string): ReturnType<typeof pass> {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const enough = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  return enough
    ? pass("Node", version)
    : fail("Node", `${version} is older than ${NODE_MIN.join(".")}`, "Install Node 24, or run: npx node@24");
}
