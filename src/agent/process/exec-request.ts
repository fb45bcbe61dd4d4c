import type { CommandLimits } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { checkCommandLimits } from "../../util/command-limits.ts";
import { escapeTerminal } from "../../util/escape-terminal.ts";
import { shown } from "../../util/shown.ts";
import { guestUser } from "../files/guest-path.ts";
import type { Command, ExecOptions, PtySize, SpawnOptions } from "../types.ts";
import { MAX_OPEN } from "../wire/frame.ts";
import { limitsMessage } from "../wire/limits.ts";
import { type Exec, Open } from "../wire/messages.ts";
import { type Draft, encode } from "../wire/schema.ts";

/** A command as the agent is asked for it. */
export interface ExecRequest {
  readonly open: Buffer;
  /** the command in the user's words, cut to a line: "running 'make'" */
  readonly what: string;
}

export interface ExecShape extends Pick<ExecOptions, "cwd" | "env" | "user" | "limits"> {
  readonly stdin: boolean;
  readonly pty?: PtySize | undefined;
  readonly detached?: boolean | undefined;
  /** credit for stdout and stderr each, in bytes */
  readonly window: number;
}

/** Largest terminal side: a Linux winsize holds 16 bits (ioctl_tty(2)). */
const MAX_SIDE = 65_535;

function invalid(message: string, hint?: string): SmolVMError {
  return new SmolVMError("CONFIG_INVALID", message, { hint });
}

function text(value: string, name: string): Buffer {
  if (typeof value !== "string") throw invalid(`${name} is not a string`);
  if (value.includes("\0")) throw invalid(`${name} holds a NUL character`);
  return Buffer.from(value);
}

/** Throws CONFIG_INVALID unless both sides are whole numbers from 1 to 65,535. */
export function checkPtySize(size: PtySize): PtySize {
  for (const side of [size.cols, size.rows]) {
    if (!Number.isInteger(side) || side < 1 || side > MAX_SIDE) {
      throw invalid(`a terminal of ${size.cols} x ${size.rows} characters is not possible`);
    }
  }
  return { cols: size.cols, rows: size.rows };
}

/** The command as one escaped line of at most 60 characters. */
export function describeCommand(command: Command): string {
  return escapeTerminal(typeof command === "string" ? command : command.join(" "), 60);
}

function program(command: Command): Draft<Exec> {
  if (typeof command === "string") {
    if (command === "") throw invalid("the command is empty");
    return { shell: text(command, "the command") };
  }
  if (!Array.isArray(command)) throw invalid("the command is neither a string nor an array of strings");
  if (command.length === 0 || command[0] === "") throw invalid("the command is empty");
  return { argv: command.map((word, n) => text(word, `argument ${n}`)) };
}

function environment(env: NonNullable<ExecOptions["env"]>): Buffer[] {
  if (typeof env !== "object" || env === null || Array.isArray(env))
    throw invalid("env is not an object of names and values");
  const list: Buffer[] = [];
  for (const [name, value] of Object.entries(env)) {
    if (value === undefined) continue;
    if (name === "" || name.includes("="))
      throw invalid(`'${name}' is not a name for an environment variable`);
    list.push(text(`${name}=${text(value, `the environment variable ${name}`)}`, `the name of ${name}`));
  }
  return list;
}

function directory(cwd: string): Buffer {
  if (typeof cwd !== "string" || !cwd.startsWith("/")) {
    throw invalid(
      `the working directory '${escapeTerminal(String(cwd), 200)}' is not absolute`,
      "Give cwd a path that starts with /.",
    );
  }
  return text(cwd, "cwd");
}

function checked(limits: CommandLimits): CommandLimits {
  const problem = checkCommandLimits(limits);
  if (problem) throw invalid(`limits: ${shown(limits)} ${problem}`);
  return limits;
}

/**
 * Checks a command and its options, before there is who runs it.
 * @throws SmolVMError CONFIG_INVALID, ARGUMENTS_TOO_LONG
 */
export function checkCommand(command: Command, options: Omit<SpawnOptions, "stdin">): void {
  const { cwd, env, user, limits, pty } = options;
  execRequest(command, { cwd, env, user, limits, pty, stdin: false, window: 0 });
}

/**
 * Checks a command and its options and encodes the request.
 *
 * @throws SmolVMError CONFIG_INVALID, ARGUMENTS_TOO_LONG
 */
export function execRequest(command: Command, shape: ExecShape): ExecRequest {
  const exec: Draft<Exec> = {
    ...program(command),
    env: shape.env === undefined ? undefined : environment(shape.env),
    cwd: shape.cwd === undefined ? undefined : directory(shape.cwd),
    user: guestUser(shape.user),
    pty: shape.pty === undefined ? undefined : checkPtySize(shape.pty),
    detached: shape.detached ?? false,
    stdin: shape.stdin,
    limits: shape.limits === undefined ? undefined : limitsMessage(checked(shape.limits)),
  };
  const open = encode(Open, { exec, window: shape.window });
  if (open.length > MAX_OPEN) {
    throw new SmolVMError(
      "ARGUMENTS_TOO_LONG",
      `the command with its arguments and environment takes ${open.length} bytes (at most ${MAX_OPEN})`,
      {
        hint: "Write the data to a file with files.write, or send it through stdin.",
        details: { bytes: open.length, maxBytes: MAX_OPEN },
      },
    );
  }
  return { open, what: `running '${describeCommand(command)}'` };
}
