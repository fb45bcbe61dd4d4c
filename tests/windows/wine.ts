/**
 * Runs the Windows Node (tests/windows/setup.sh) under wine, and gives back what it printed and its exit code. Wine's traps are known here alone: a
 * Unix pipe as stdout is EBADF to a Windows program, so its output goes to files; the files are Z:\'s, which is our root, where /proc is
 * Linux's, so its working directory is on C:, as on Windows there is none; of exit codes eight bits come back.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";

const WINE = "/usr/lib/wine/wine64";
const WINESERVER = "/usr/lib/wine/wineserver64";

/** Where tests/windows/setup.sh has put it all. */
export const WINDOWS_DIR: string =
  process.env.SMOLVM_WINDOWS_DIR ??
  join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "smolvm-windows");

/** Of our environment only what concerns tests is passed on: the rest is Linux's. */
const PASSED_ON = /^(SMOLVM_(TEST|SPEED)_|CI$)/;

export interface WindowsRun {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface WindowsOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** when it is over, all that runs in the prefix is ended, and the code is 124; default: none */
  readonly timeoutMs?: number;
  /** its output is shown as it comes as well */
  readonly show?: boolean;
}

/** A path of this machine, as Windows programs under wine name it. */
export function windowsPath(path: string): string {
  return `Z:${path.replaceAll("/", "\\")}`;
}

/** The words that run `node.exe ARGS` on a terminal of ours, which wine makes a console of, and their environment. */
export function windowsConsole(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): { argv: string[]; env: NodeJS.ProcessEnv } {
  const onC = ['cd "$1" && shift && exec "$@"', "sh", join(WINDOWS_DIR, "prefix/drive_c")];
  const node = windowsPath(join(WINDOWS_DIR, "node/node.exe"));
  return { argv: ["/bin/sh", "-c", ...onC, WINE, node, ...args], env: environment(env) };
}

/** Runs `node.exe ARGS` to its end. */
export async function windowsNode(
  args: readonly string[],
  options: WindowsOptions = {},
): Promise<WindowsRun> {
  const directory = mkdtempSync(join(tmpdir(), "smolvm-wine-"));
  const [out, err] = [join(directory, "stdout"), join(directory, "stderr")];
  const descriptors = [openSync(out, "w"), openSync(err, "w")];
  const child = spawn(WINE, [windowsPath(join(WINDOWS_DIR, "node/node.exe")), ...args], {
    stdio: ["ignore", ...descriptors],
    cwd: join(WINDOWS_DIR, "prefix/drive_c"),
    env: environment(options.env),
  });
  const shown = options.show ? follow([out, err], child) : undefined;
  let late = false; // a program that is ended so has the code 0
  const onTime = (): void => {
    late = true;
    endAll();
  };
  const timer = options.timeoutMs === undefined ? undefined : setTimeout(onTime, options.timeoutMs);
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", resolve);
    });
    await shown;
    return { code: late ? 124 : code, stdout: readFileSync(out, "utf8"), stderr: readFileSync(err, "utf8") };
  } finally {
    clearTimeout(timer);
    for (const descriptor of descriptors) closeSync(descriptor);
    rmSync(directory, { recursive: true });
  }
}

/** Ends all that runs in the prefix. */
export function endAll(): void {
  spawnSync(WINESERVER, ["-k"], { env: environment() });
}

function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const passed = Object.entries(process.env).filter(([name]) => PASSED_ON.test(name));
  return {
    ...Object.fromEntries(passed),
    PATH: "/usr/bin:/bin",
    HOME: homedir(),
    LANG: "C.UTF-8",
    WINEPREFIX: join(WINDOWS_DIR, "prefix"),
    WINEDEBUG: "-all",
    WINEDLLOVERRIDES: "mscoree,mshtml=d",
    WINESERVER,
    ...more,
  };
}

/** Shows what is written to files until the program has ended, and all of it was read. */
function follow(files: readonly string[], child: ChildProcess): Promise<void> {
  const seen = files.map(() => 0);
  const show = (): void => {
    files.forEach((file, index) => {
      const text = readFileSync(file);
      process.stdout.write(text.subarray(seen[index]));
      seen[index] = text.length;
    });
  };
  const timer = setInterval(show, 200);
  return new Promise((resolve) => {
    child.once("exit", () => {
      clearInterval(timer);
      show();
      resolve();
    });
  });
}
