import { SmolVMError } from "../../errors.ts";

/** The flag by which each option of the library is given on the command line. */
const FLAG_OF_OPTION: Readonly<Record<string, string>> = {
  name: "--name",
  backend: "--backend",
  image: "--image",
  pull: "--pull",
  arch: "--arch",
  vcpuCount: "--cpus",
  memSizeMib: "--memory",
  diskSizeMib: "--disk",
  env: "--env",
  workdir: "--workdir",
  user: "--user",
  hostname: "--hostname",
  network: "--network",
  networkRateLimitMbps: "--network-rate-limit",
  qemuNetwork: "--qemu-network",
  qemuMachine: "--machine",
  accelerator: "--accelerator",
  isolation: "--isolation",
  template: "--template",
  warm: "--warm",
  kernel: "--kernel",
  kernelPath: "--kernel",
  initrdPath: "--initrd",
  rootfsPath: "--rootfs",
  diskMode: "--disk-mode",
  gdbPort: "--gdb",
  extraDrives: "--drive",
  mounts: "--volume",
  labels: "--label",
  ttlMs: "--ttl",
  autoStart: "--auto-start",
  ports: "-p",
  bring: "-R",
  publishAll: "-P",
  init: "--init",
  timeoutMs: "--timeout",
};

/** How an option of the library is given on the command line; its own name, if it is not. */
export const flagOf = (option: string): string => FLAG_OF_OPTION[option] ?? option;

/** Option names that are no words of their own, and so can be replaced wherever they stand. */
const OPTION_WORDS = new RegExp(
  `\\b(${Object.keys(FLAG_OF_OPTION)
    .filter((name) => /[A-Z]/.test(name))
    .join("|")})\\b`,
  "g",
);

/**
 * The same error in the words of the command line: `memSizeMib: 64 is less than 128` becomes
 * `--memory: 64M is less than 128M`. Pure. What is no SmolVMError is returned as it is.
 */
export function inWordsOfFlags(error: unknown): unknown {
  if (!(error instanceof SmolVMError)) return error;
  const message = flagged(error.message, error.details.option);
  // A hint is ours alone; a message may have a path in which this is a word.
  const hint = flagWords(hintInUnits(error.hint, error.details.option)).replace(/\bcwd\b/g, "--workdir");
  if (message === error.message && hint === error.hint) return error;
  const said = new SmolVMError(error.code, message, { hint, details: error.details, cause: error.cause });
  if (error.stack !== undefined) said.stack = error.stack;
  return said;
}

function flagged(message: string, option: unknown): string {
  const flag = typeof option === "string" ? FLAG_OF_OPTION[option] : undefined;
  if (flag === undefined || !message.startsWith(`${option}: `)) return flagWords(message);
  const said = inUnits(option as string, message.slice(`${option}: `.length));
  return `${flag}: ${flagWords(said)}`;
}

/** "Give 128 to 16384." is about the option. */
function hintInUnits(hint: string, option: unknown): string {
  return typeof option === "string" && /^Give \d+ to /.test(hint) ? inUnits(option, hint) : hint;
}

/** A number with the unit in which the flag takes it. */
function inUnits(option: string, said: string): string {
  if (option.endsWith("Mib")) return said.replace(/\b\d+\b/g, "$&M");
  return option.endsWith("Ms") ? said.replace(/\b\d+\b/g, "$&ms") : said;
}

function flagWords(text: string): string {
  return text
    .replace('network: {mode: "open", unfiltered: true}', "--unfiltered")
    .replace(/\bnetwork: "(\w+)"/g, "--network $1")
    .replace(/\bnetwork "(\w+)"/g, "--network $1")
    .replace(/\bdiskMode "(\w+)"/g, "--disk-mode $1")
    .replace(/\baccelerator "(\w+)"/g, "--accelerator $1")
    .replace(OPTION_WORDS, (option) => FLAG_OF_OPTION[option]!);
}
