import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

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

/** Path of the monitor program for this host, or undefined where there is none (it exists for Linux only). */
export function nativeProgram(name: "monitor"): string | undefined {
  const arch = ARCH_NAMES[process.arch];
  if (process.platform !== "linux" || arch === undefined) return undefined;
  const path = `${nativeDir()}/${name}-${arch}`;
  return existsSync(path) ? path : undefined;
}

/** Path of a script that the package ships: scripts/ beside native/. */
export function packagedScript(name: "system-setup.sh" | "system-setup-macos.sh"): string {
  return fileURLToPath(new URL(`../../scripts/${name}`, import.meta.url));
}
