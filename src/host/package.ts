import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { SmolVMError } from "../errors.ts";
import { readEnvironment } from "./environment.ts";

// What the package brings is found from here: two levels down from its directory, in src/host as in dist/host and dist/cli. Where a
// bundler has put this code into a file elsewhere, Node's own way to a package finds it. A bundle or single executable that goes
// where there is no package carries the native programs with it, in a directory beside it.

const NAME = "smolvm";

/** Directory beside a bundle or single executable with what is in the package's native/. */
const CARRIED = "smolvm-native";

/** Architecture names as in our file names, by Node's. */
export const ARCH_NAMES: Readonly<Record<string, "x86_64" | "aarch64">> = { x64: "x86_64", arm64: "aarch64" };

/** This file, or the bundle that it is in; bundlers that write CommonJS may leave no `import.meta.url`. */
function ownFile(): string {
  const url = import.meta.url as string | undefined;
  if (url !== undefined) return fileURLToPath(url);
  return typeof __filename === "string" ? __filename : process.execPath;
}

interface Location {
  readonly dir: string;
  readonly bundled: boolean;
}

let known: Location | undefined;

/** @throws SmolVMError DEPENDENCY_MISSING */
function locate(): Location {
  known ??= beside() ?? installed();
  if (known) return known;
  throw new SmolVMError(
    "DEPENDENCY_MISSING",
    `the package '${NAME}' is not installed beside '${program()}', which it was put into`,
    {
      hint: `Install it there: npm install ${NAME}. Or copy its directory native/ to '${join(dirname(program()), CARRIED)}' (docs/installation.md#bundlers)`,
    },
  );
}

/** Whether there is a package to run programs and scripts from: not so where a bundle or single executable is all that there is. */
export function hasPackage(): boolean {
  known ??= beside() ?? installed();
  return known !== undefined;
}

function beside(): Location | undefined {
  const dir = join(dirname(ownFile()), "../..");
  return nameIn(dir) === NAME ? { dir, bundled: false } : undefined;
}

function installed(): Location | undefined {
  for (const from of [program(), process.argv[1], join(process.cwd(), "x")]) {
    try {
      if (from !== undefined)
        return { dir: dirname(createRequire(from).resolve(`${NAME}/package.json`)), bundled: true };
    } catch {
      // not from there
    }
  }
  return undefined;
}

/** The bundle or single executable that this code is in. */
function program(): string {
  return isSingleExecutable() ? process.execPath : ownFile();
}

function nameIn(dir: string): unknown {
  try {
    return (JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) as { name?: unknown }).name;
  } catch {
    return undefined;
  }
}

/** Directory of the package: the checkout, or where npm installed it. @throws SmolVMError DEPENDENCY_MISSING */
export function packageDir(): string {
  return locate().dir;
}

/**
 * Directory of the static programs that the package ships: `SMOLVM_NATIVE_DIR`, else native/ beside src/ and dist/, else smolvm-native/ beside a
 * bundle or single executable, else the installed package's.
 * @throws SmolVMError DEPENDENCY_MISSING
 */
export function nativeDir(): string {
  const named = readEnvironment(process.env).nativeDir;
  if (named !== undefined) return named;
  known ??= beside();
  if (known?.bundled !== false) {
    const carried = join(dirname(program()), CARRIED);
    if (existsSync(carried)) return carried;
  }
  return join(packageDir(), "native");
}

/** What is built for the host: the monitor (Linux, Windows), the server of host directories (Linux), and what some QEMUs are started with (Linux; monitor/preload/). */
export type HostProgram = "monitor" | "files" | "readonly-memory" | "public-only";

const ENDINGS: Readonly<Partial<Record<NodeJS.Platform, Readonly<Partial<Record<HostProgram, string>>>>>> = {
  linux: { monitor: "", files: "", "readonly-memory": ".so", "public-only": ".so" },
  win32: { monitor: ".exe" },
};

/** Path of a native program (or library) for this host, or undefined where there is none. */
export function nativeProgram(name: HostProgram): string | undefined {
  const arch = ARCH_NAMES[process.arch];
  const ending = ENDINGS[process.platform]?.[name];
  if (ending === undefined || arch === undefined) return undefined;
  const path = join(nativeDir(), `${name}-${arch}${ending}`);
  return existsSync(path) ? path : undefined;
}

/** Path of a script that the package ships: scripts/ beside native/. @throws SmolVMError DEPENDENCY_MISSING */
export function packagedScript(name: "system-setup.sh" | "system-setup-macos.sh" | "setup/network"): string {
  return join(packageDir(), "scripts", name);
}

/**
 * Path of a module of ours that is a program of its own, in src/ or dist/ as this one is: "supervisor/main".
 * @throws SmolVMError DEPENDENCY_MISSING; NOT_SUPPORTED in a single executable, which is no Node that could run it
 */
export function packagedProgram(name: string): string {
  if (isSingleExecutable()) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      "a single executable has no Node that could run a process in the background",
      {
        hint: "Run the part that needs it (ports of detached sandboxes, times to live) with an installed smolvm: npx smolvm",
      },
    );
  }
  const { dir, bundled } = locate();
  if (bundled) return join(dir, "dist", `${name}.js`);
  const own = ownFile();
  return join(dirname(own), "..", `${name}${extname(own)}`);
}

/** Whether this program is Node (or Bun) and a bundle in one file (nodejs.org/api/single-executable-applications.html). */
function isSingleExecutable(): boolean {
  const sea = process.getBuiltinModule("node:sea") as { isSea?: () => boolean } | undefined;
  return sea?.isSea?.() === true || ownFile().startsWith("/$bunfs/");
}

/** The package's version. @throws SmolVMError DEPENDENCY_MISSING */
export function packageVersion(): string {
  const manifest = readFileSync(join(packageDir(), "package.json"), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
