import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What the native programs are made of, as scripts/build-native.sh has it. */
const SOURCES = [
  "{Cargo.toml,Cargo.lock,scripts/build-native.sh}",
  "{wire,guest,monitor,fileserver}/**/*.{rs,toml,lock,sh}",
];

/** Whether a checkout's native programs were built from other sources than those that are there now. False where there are no sources. */
export function isOutdated(directory: string, arch: string): boolean {
  if (!existsSync(join(directory, "guest", "Cargo.toml"))) return false;
  try {
    return readFileSync(join(directory, "native", `.sources-${arch}`), "utf8").trim() !== sources(directory);
  } catch {
    return true; // by an earlier version of the script
  }
}

function sources(directory: string): string {
  const files = globSync(SOURCES, { cwd: directory });
  const sums = files
    .map((file) => file.replaceAll("\\", "/"))
    .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map((file) => `${sha256(readFileSync(join(directory, file)))}  ${file}\n`);
  return sha256(Buffer.from(sums.join("")));
}

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
