import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { nativeDir } from "../../host/package.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { installHint } from "../../host/setup/install-hint.ts";
import { isNodeSupported, OLDEST_NODE } from "../../util/node-version.ts";
import { type Check, fail, pass, warn } from "../check.ts";

/** The operating system. */
export const platform: Check = ({ platform: system }) => {
  const name = "Platform";
  if (system === "linux" || system === "darwin") return pass(name, system);
  // docs/installation.md#windows
  if (system === "win32") return pass(name, "win32 (tried under wine only)");
  return warn(name, `${system}: not tried`, "smolvm is for Linux, macOS and Windows.");
};

/** The CPU. */
export const architecture: Check = ({ hostArch }) =>
  hostArch === undefined
    ? fail("Architecture", process.arch, "smolvm needs an x86_64 or aarch64 (arm64) machine.")
    : pass("Architecture", hostArch);

/** The version of Node. */
export const node: Check = () => nodeResult(process.versions.node);

/** Whether a version of Node is new enough. Pure. */
export function nodeResult(version: string): ReturnType<typeof pass> {
  return isNodeSupported(version)
    ? pass("Node", version)
    : fail("Node", `${version} is older than ${OLDEST_NODE}`, "Install Node 24, or run: npx node@24");
}

/** Rust builds the guest's agent, and only in a checkout: the package brings it. */
export const rust: Check = ({ arch, env }) => {
  const name = "Rust";
  if (!existsSync(join(dirname(nativeDir()), "guest", "Cargo.toml"))) return undefined;
  const cargo = findProgram("cargo", env.path, [join(env.userHome ?? "/root", ".cargo/bin")]);
  if (cargo !== undefined) return pass(name, cargo);
  return existsSync(join(nativeDir(), `agent-${arch}`))
    ? pass(name, "cargo not found, and not needed: the agent is built")
    : fail(name, "cargo not found (needed to build the agent in a checkout)", installHint("rust"));
};
