import { realpathSync, statSync } from "node:fs";
import type { Accelerator, Arch, MachineType } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { cachedJson } from "../../host/files/cached-json.ts";
import { runProgram } from "../../host/process/run.ts";
import { Deadline } from "../../util/deadline.ts";
import { shortHash } from "../../util/short-hash.ts";
import { SANDBOX_OPTIONS } from "./args.ts";

/** What a QEMU binary is and can do, as it says itself. */
export interface QemuProbe {
  /** "7.2.22" */
  readonly version: string;
  /** the distribution's package, e.g. "Debian 1:7.2+dfsg-7+deb12u18", or "" */
  readonly package: string;
  /** the architecture of its guests, in QEMU's name */
  readonly target: string;
  readonly machines: readonly MachineType[];
  /** accelerators that were compiled in; whether the host can run them is another question */
  readonly accelerators: readonly Accelerator[];
  /** its seccomp sandbox can be switched on */
  readonly sandbox: boolean;
}

/** Slow hosts need far more than a second for a first start (cold cache, virus scanners). */
const PROBE_TIMEOUT_MS = 15_000;

/** So many of its last lines are what it said. */
const SAID_LINES = 3;

interface Command {
  readonly execute: string;
  readonly arguments?: object;
  readonly id?: string;
}

const QUESTIONS: readonly Command[] = [
  { execute: "query-version", id: "version" },
  { execute: "query-target", id: "target" },
  { execute: "query-machines", id: "machines" },
  { execute: "qom-list-types", arguments: { implements: "accel" }, id: "accels" },
];

/**
 * Asks a QEMU binary over QMP what it is. The answer is kept in `cacheDir` for as long as the file stays the same, so
 * that starting a sandbox does not pay for it.
 * @throws SmolVMError BACKEND_UNAVAILABLE (it does not run), TIMEOUT
 */
export async function probeQemu(path: string, cacheDir: string): Promise<QemuProbe> {
  const { key, name } = qemuIdentity(path);
  return await cachedJson(`${cacheDir}/qemu-${name}.json`, key, isQemuProbe, () => askOnce(path));
}

/** What tells a program's file from another one, and a short name for what is kept of it. */
export function qemuIdentity(path: string): { readonly key: string; readonly name: string } {
  const real = realpathSync.native(path);
  const stat = statSync(real);
  return {
    key: [real, stat.size, stat.mtimeMs, stat.ino].join(" "),
    name: shortHash(real),
  };
}

/** Questions that have no answer yet: whoever asks meanwhile waits for the same one. */
const asked = new Map<string, Promise<QemuProbe>>();

function askOnce(path: string): Promise<QemuProbe> {
  const open = asked.get(path) ?? ask(path).finally(() => asked.delete(path));
  asked.set(path, open);
  return open;
}

async function ask(path: string): Promise<QemuProbe> {
  const platformArgs = process.platform === "linux" ? ["-sandbox", SANDBOX_OPTIONS] : [];
  let answer = await run(path, platformArgs);
  let sandbox = platformArgs.length > 0;
  if (answer.probe === undefined && sandbox) {
    answer = await run(path, []); // a build without seccomp refuses the option
    sandbox = false;
  }
  if (answer.probe === undefined) {
    throw new SmolVMError("BACKEND_UNAVAILABLE", `${path} does not run: ${answer.why}`, {
      hint: `See what it says: ${path} --version`,
      details: { path },
    });
  }
  return { ...answer.probe, sandbox };
}

async function run(
  path: string,
  extra: readonly string[],
): Promise<{ probe?: Omit<QemuProbe, "sandbox">; why: string }> {
  const { output, why } = await converse(path, ["-M", "none", ...extra], QUESTIONS);
  const probe = output === undefined ? undefined : readAnswers(output);
  return probe === undefined ? { why } : { probe, why };
}

/**
 * Starts a QEMU that stands still, asks it, and has it quit.
 * @param machine its machine, and what else it is to be started with
 * @returns what it answered, if it came as far as that; and `why` not, in its own last line, `said` in all of them
 * @throws SmolVMError TIMEOUT, HOST_FAILED
 */
export async function converse(
  path: string,
  machine: readonly string[],
  questions: readonly Command[],
): Promise<{ readonly output: string | undefined; readonly why: string; readonly said: string }> {
  const commands = [{ execute: "qmp_capabilities" }, ...questions, { execute: "quit" }];
  const dialogue = new Dialogue(commands.map((command) => JSON.stringify(command)));
  const argv = [
    path,
    ...machine,
    "-S",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-qmp",
    "stdio",
  ];
  const result = await runProgram(argv, {
    deadline: Deadline.within(PROBE_TIMEOUT_MS, `asking ${path} for its version`),
    stdin: process.platform === "win32" ? dialogue.say() : dialogue.whole(),
    onStdout: (chunk) => dialogue.hear(chunk),
    check: false,
  });
  const lines = result.stderr
    .split(/\r?\n/)
    .map((line) => line.replace(`${path}: `, "").trim())
    .filter((line) => line !== "");
  const why = lines.at(-1) ?? `exit ${result.signal ?? result.code}`;
  const said = lines.slice(-SAID_LINES).join(" ") || why;
  return { output: result.code === 0 ? dialogue.heard : undefined, why, said };
}

/** Most characters of what it answers; longer ones are no QEMU's. */
const MAX_HEARD = 4 * 1024 * 1024;

/**
 * Lines that are said at once, or one after the other, each when the one before was answered, the first after a greeting: a QEMU for Windows loses what
 * comes on its stdin while it is busy with a command (chardev/char-win-stdio.c), and what is unread when it is closed.
 */
class Dialogue {
  readonly #lines: readonly string[];
  #answers = 0;
  #onAnswer: () => void = () => {};
  heard = "";

  constructor(lines: readonly string[]) {
    this.#lines = lines;
  }

  hear(chunk: Uint8Array): void {
    this.heard += Buffer.from(chunk).toString("utf8");
    if (this.heard.length > MAX_HEARD) throw new SmolVMError("BACKEND_UNAVAILABLE", "it says too much");
    // Whole lines alone, and no events.
    this.#answers = (this.heard.match(/^\{"(?:QMP|return|error|id)".*\r?\n/gm) ?? []).length;
    this.#onAnswer();
  }

  /** All at once. */
  whole(): string {
    return this.#lines.map((line) => `${line}\n`).join("");
  }

  async *say(): AsyncGenerator<Uint8Array> {
    for (const [index, line] of this.#lines.entries()) {
      while (this.#answers <= index)
        await new Promise<void>((resolve) => {
          this.#onAnswer = resolve;
        });
      yield Buffer.from(`${line}\n`);
    }
    await new Promise(() => {}); // what ends is the program
  }
}

/** Reads the probe's QMP answers; undefined if they are not all there. Pure. */
export function readAnswers(output: string): Omit<QemuProbe, "sandbox"> | undefined {
  const answers = new Map<string, unknown>();
  for (const line of output.split("\n")) {
    if (line.trim() === "") continue;
    try {
      const message = JSON.parse(line) as { id?: unknown; return?: unknown };
      if (typeof message.id === "string") answers.set(message.id, message.return);
    } catch {
      return undefined;
    }
  }
  const version = answers.get("version") as { qemu?: Record<string, number>; package?: string } | undefined;
  const target = (answers.get("target") as { arch?: string } | undefined)?.arch;
  if (version?.qemu === undefined || target === undefined) return undefined;
  const names = (id: string): string[] =>
    ((answers.get(id) as { name?: string; alias?: string }[] | undefined) ?? []).flatMap((entry) =>
      [entry.name, entry.alias].filter((name) => name !== undefined),
    );
  const machines = new Set(names("machines"));
  const accelerators = new Set(names("accels"));
  return {
    version: [version.qemu.major, version.qemu.minor, version.qemu.micro].join("."),
    package: version.package ?? "",
    target,
    machines: (["microvm", "q35", "virt"] as const).filter((name) => machines.has(name)),
    accelerators: (["kvm", "hvf", "whpx", "tcg"] as const).filter((name) =>
      accelerators.has(`${name}-accel`),
    ),
  };
}

function isQemuProbe(value: unknown): value is QemuProbe {
  const probe = value as Partial<QemuProbe> | null;
  return (
    typeof probe === "object" &&
    typeof probe?.version === "string" &&
    typeof probe.package === "string" &&
    typeof probe.target === "string" &&
    Array.isArray(probe.machines) &&
    Array.isArray(probe.accelerators) &&
    typeof probe.sandbox === "boolean"
  );
}

/** QEMU's name for an architecture's system emulator: "qemu-system-x86_64". Pure. */
export function qemuProgram(arch: Arch): string {
  return `qemu-system-${arch}`;
}
