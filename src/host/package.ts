import { existsSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";

// What the package brings, found from here: two levels down from its directory, in src/host as in dist/host and dist/cli.

/** Architecture names as in our file names, by Node's. */
export const ARCH_NAMES: Readonly<Record<string, "x86_64" | "aarch64">> = { x64: "x86_64", arm64: "aarch64" };

/** Directory of the package: the checkout, or where npm installed it. */
export function packageDir(): string {
  return fileURLToPath(new URL("../..", import.meta.url)).replace(/[/\\]$/, "");
}

/** Directory of the static programs that the package ships: native/ beside src/ and dist/. */
export function nativeDir(): string {
  return fileURLToPath(new URL("../../native", import.meta.url));
}

/** What is built for the host (Linux only): the monitor, and what an old QEMU is started with (monitor/preload/). */
export type HostProgram = "monitor" | "readonly-memory";

/** Path of a native program (or library) for this host, or undefined where there is none. */
export function nativeProgram(name: HostProgram): string | undefined {
  const arch = ARCH_NAMES[process.arch];
  if (process.platform !== "linux" || arch === undefined) return undefined;
  const path = `${nativeDir()}/${name}-${arch}${name === "readonly-memory" ? ".so" : ""}`;
  return existsSync(path) ? path : undefined;
}

/** Path of a script that the package ships: scripts/ beside native/. */
export function packagedScript(name: "system-setup.sh" | "system-setup-macos.sh"): string {
  return fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url));
}

/** Path of a module of ours that is a program of its own, in src/ or dist/ as this one is: "supervisor/main". */
export function packagedProgram(name: string): string {
  return fileURLToPath(new URL(`../${name}${extname(import.meta.url)}`, import.meta.url));
}

/** The package's version. */
export function packageVersion(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
