import { readFile } from "node:fs/promises";
import type { BuildEvent, BuildOptions } from "../../builder/types.ts";
import { SmolVMError } from "../../errors.ts";
import { DOCKERFILE_MAX_BYTES } from "../../images/dockerfile/parse.ts";
import { images } from "../../images-of-user.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { timeoutOption } from "../args/duration.ts";
import { parseSizeMib } from "../args/size.ts";
import type { Arguments } from "../arguments.ts";
import type { OptionSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";

/** Options of building from a Dockerfile. */
export const DOCKERFILE_OPTIONS: readonly OptionSpec[] = [
  { name: "tag", short: "t", value: "NAME", repeat: true, help: "what the image is to be called" },
  { name: "file", short: "f", value: "FILE", help: "the Dockerfile (default: DIR/Dockerfile); -: stdin" },
  { name: "build-arg", value: "K=V", repeat: true, help: "value of an ARG; K alone: your variable" },
  { name: "target", value: "STAGE", help: "the stage that is built (default: the last)" },
  { name: "platform", value: "OS/ARCH", help: "linux/amd64 or linux/arm64 (default: this machine's)" },
  {
    name: "secret",
    value: "id=ID,src=FILE",
    repeat: true,
    help: "a file for RUN --mount=type=secret; or id=ID,env=NAME",
  },
  { name: "network", value: "MODE", choices: ["open", "off"], help: "what steps reach (default: open)" },
  { name: "no-cache", help: "carry every step out" },
  {
    name: "pull",
    value: "WHEN",
    choices: ["missing", "always", "never"],
    help: "of images that FROM names (default: missing)",
  },
  { name: "label", short: "l", value: "K=V", repeat: true, help: "label of the image" },
  { name: "memory", short: "m", value: "SIZE", help: "memory of each step's sandbox (default: 1G)" },
  { name: "cpus", value: "N", help: "its virtual CPUs (default: 1)" },
];

/** Builds what a Dockerfile says, with progress as BuildKit's. */
export async function buildFromFile(io: Io, args: Arguments, directory: string): Promise<Outcome> {
  const show = new Show((text) => io.stderr.write(text));
  const number = (name: string): number | undefined => {
    const text = args.value(name);
    if (text === undefined) return undefined;
    if (/^\d{1,9}$/.test(text)) return Number(text);
    throw new SmolVMError("USAGE", `--${name}: '${text}' is not a whole number`, {
      hint: `Write --${name} 2`,
    });
  };
  const memory = args.value("memory");
  const options: BuildOptions = {
    tags: args.values("tag"),
    ...(args.value("file") === "-"
      ? { dockerfileText: await textOfStdin() }
      : { dockerfile: args.value("file") }),
    buildArgs: pairsOf(io, args.values("build-arg"), "build-arg"),
    target: args.value("target"),
    platform: args.value("platform"),
    secrets: await secretsOf(io, args.values("secret")),
    network: args.value("network") as BuildOptions["network"],
    noCache: args.flag("no-cache"),
    pull: args.value("pull") as BuildOptions["pull"],
    labels: pairsOf(io, args.values("label"), "label"),
    memSizeMib: memory === undefined ? undefined : parseSizeMib("--memory", memory),
    vcpuCount: number("cpus"),
    onProgress: io.onProgress,
    ...(io.quiet
      ? {}
      : {
          onEvent: (event: BuildEvent) => {
            io.endProgress();
            show.event(event);
          },
        }),
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
  };
  const built = await images.build(directory, options);
  for (const warning of built.warnings) io.note(`warning: ${warning}`);
  const { carriedOut, cached } = built.steps;
  io.note(
    `built ${built.names.join(", ")} (${built.arch}, ${formatBytes(built.sizeBytes)}, ${built.digest.slice(0, 19)}; ${carriedOut + cached} steps, ${cached} of them cached)`,
  );
  return { data: built, text: () => `${built.name}\n` };
}

function pairsOf(io: Io, list: readonly string[], option: string): Record<string, string> {
  return Object.fromEntries(
    list.flatMap((item): [string, string][] => {
      const equals = item.indexOf("=");
      if (equals > 0) return [[item.slice(0, equals), item.slice(equals + 1)]];
      const value = equals < 0 ? io.env[item] : undefined;
      if (value !== undefined) return [[item, value]];
      throw new SmolVMError("USAGE", `--${option}: '${item}' has no value`, {
        hint: `Write --${option} NAME=value`,
      });
    }),
  );
}

/** A Dockerfile from stdin. */
async function textOfStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > DOCKERFILE_MAX_BYTES) break; // which is told as of any
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** A secret's file. */
async function secretFile(path: string): Promise<Uint8Array> {
  return await readFile(path).catch((cause: Error) => {
    throw new SmolVMError("FILE_NOT_FOUND", `--secret: '${path}' cannot be read: ${cause.message}`, {
      hint: "Write --secret id=ID,src=FILE, with a file that is there",
      cause,
    });
  });
}

async function secretsOf(io: Io, list: readonly string[]): Promise<Record<string, Uint8Array | string>> {
  const secrets: Record<string, Uint8Array | string> = {};
  for (const item of list) {
    const fields = new Map(
      item.split(",").map((part) => part.split(/=(.*)/s).slice(0, 2) as [string, string]),
    );
    const [id, src, env] = [fields.get("id"), fields.get("src") ?? fields.get("source"), fields.get("env")];
    const known = [...fields.keys()].every((key) => ["id", "src", "source", "env", "type"].includes(key));
    const value = src !== undefined ? await secretFile(src) : env === undefined ? undefined : io.env[env];
    if (id === undefined || value === undefined || !known) {
      throw new SmolVMError("USAGE", `--secret: '${item}' is no secret`, {
        hint: "Write --secret id=ID,src=FILE or --secret id=ID,env=NAME",
      });
    }
    secrets[id] = value;
  }
  return secrets;
}

/** Lines for each step, as `docker build --progress=plain` writes them. */
class Show {
  readonly #write: (text: string) => void;
  #startedAt = 0;
  readonly #rest = { stdout: "", stderr: "" };
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  event(event: BuildEvent): void {
    switch (event.type) {
      case "start": {
        this.#startedAt = Date.now();
        const { step, stage, position, instruction } = event;
        this.#write(`#${step} [${stage} ${position}] ${escapeTerminal(instruction)}\n`);
        return;
      }
      case "output": {
        const { name, data, step } = event;
        const lines = (this.#rest[name] + this.#decoders[name].decode(data, { stream: true })).split("\n");
        this.#rest[name] = lines.pop()!;
        for (const line of lines) this.#line(step, line);
        return;
      }
      case "done":
        this.#flush(event.step);
        this.#write(
          event.cached
            ? `#${event.step} CACHED\n\n`
            : `#${event.step} DONE ${(event.durationMs / 1000).toFixed(1)}s\n\n`,
        );
        return;
      case "failed":
        this.#flush(event.step);
        this.#write(`#${event.step} ERROR\n`);
    }
  }

  #flush(step: number): void {
    for (const name of ["stdout", "stderr"] as const) {
      if (this.#rest[name] !== "") this.#line(step, this.#rest[name]);
      this.#rest[name] = "";
    }
  }

  #line(step: number, line: string): void {
    const at = ((Date.now() - this.#startedAt) / 1000).toFixed(3);
    this.#write(`#${step} ${at} ${escapeTerminal(line.replace(/\r$/, "").replace(/^.*\r/, ""))}\n`);
  }
}
