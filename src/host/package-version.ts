import { readFileSync } from "node:fs";

/** The package's version. Two levels up, from src/host as from dist/host and dist/cli. */
export function packageVersion(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
