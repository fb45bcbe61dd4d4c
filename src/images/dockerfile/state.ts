import { isSignal } from "../../util/guest-signals.ts";
import { type Healthcheck, type RunConfig, withVariable } from "../layer/config-document.ts";
import { MAX_ENV_BYTES, MAX_ITEMS, MAX_PORTS } from "../oci/config.ts";
import type { Instruction } from "./parse.ts";
import { expandText, type Lookup, rawWords, splitWords, WordError } from "./words.ts";

/** How an image is run as a stage has made it so far, and what its next instructions see. */
export interface StageState {
  readonly config: RunConfig;
  readonly author: string | undefined;
  /** build arguments that were declared in the stage, by their names */
  readonly args: ReadonlyMap<string, string>;
  /** CMD was said in this stage: an ENTRYPOINT takes away only one that was there before */
  readonly hasCmd: boolean;
}

const DEFAULT_SHELL: readonly string[] = ["/bin/sh", "-c"];

/** What variables an instruction sees: the image's environment, and before it what was declared with ARG. Pure. */
export function lookupIn({ config, args }: StageState): Lookup {
  const env = new Map((config.Env ?? []).map((item) => splitVariable(item)));
  return (name) => env.get(name) ?? args.get(name);
}

/** "NAME=value" as name and value. Pure. */
export function splitVariable(item: string): [string, string] {
  const equals = item.indexOf("=");
  return equals < 0 ? [item, ""] : [item.slice(0, equals), item.slice(equals + 1)];
}

/**
 * The state after an instruction that changes what an image says and none of its files; undefined for one that is of another kind. Pure.
 * @throws WordError
 */
export function applyToState(
  state: StageState,
  { keyword, flags, text }: Instruction,
  escaping: string,
): StageState | undefined {
  const lookup = lookupIn(state);
  const words = (): string[] => splitWords(text, escaping, lookup);
  const one = (): string => {
    const found = words();
    if (found.length !== 1) throw new WordError(`${keyword} takes one argument`);
    return found[0]!;
  };
  const changed = (config: Partial<RunConfig>): StageState => ({
    ...state,
    config: bounded({ ...state.config, ...config }),
  });
  if (keyword !== "HEALTHCHECK" && CONFIG.has(keyword) && flags.length > 0)
    throw new WordError(`${keyword} has no option --${flags[0]!.name}`);
  switch (keyword) {
    case "ENV": {
      let env = state.config.Env ?? [];
      for (const [name, value] of pairs(text, escaping, lookup, keyword))
        env = withVariable(env, name, value);
      return changed({ Env: env });
    }
    case "LABEL":
      return changed({
        Labels: { ...state.config.Labels, ...Object.fromEntries(pairs(text, escaping, lookup, keyword)) },
      });
    case "USER":
      return changed({ User: one() });
    case "STOPSIGNAL":
      return changed({ StopSignal: signalOf(one()) });
    case "EXPOSE":
      return changed({ ExposedPorts: { ...state.config.ExposedPorts, ...keysOf(words().flatMap(portsOf)) } });
    case "VOLUME": {
      const list = jsonWords(text)?.map((item) => expandText(item, escaping, lookup)) ?? words();
      return changed({ Volumes: { ...state.config.Volumes, ...keysOf(list) } });
    }
    case "SHELL": {
      const shell = jsonWords(text);
      if (shell === undefined || shell.length === 0)
        throw new WordError('SHELL takes a list, as ["/bin/bash", "-c"]');
      return changed({ Shell: shell });
    }
    case "CMD":
      return { ...changed({ Cmd: commandOf(state, text) }), hasCmd: true };
    case "ENTRYPOINT": {
      const next = changed({ Entrypoint: commandOf(state, text) });
      if (state.hasCmd) return next;
      const { Cmd: _, ...config } = next.config;
      return { ...next, config };
    }
    case "HEALTHCHECK":
      return changed({ Healthcheck: healthcheckOf(state, flags, text) });
    case "ONBUILD":
      if (/^(?:ONBUILD|FROM|MAINTAINER)\b/i.test(text))
        throw new WordError("ONBUILD takes no ONBUILD, FROM or MAINTAINER");
      return changed({ OnBuild: [...(state.config.OnBuild ?? []), text] });
    case "MAINTAINER":
      return { ...state, author: text };
    default:
      return undefined;
  }
}

/** What an image may say no more of (oci/config.ts) is told where it is said, and not once all is made. */
function bounded(config: RunConfig): RunConfig {
  const { Env = [], ExposedPorts = {}, Volumes = {}, Labels = {}, OnBuild = [], Shell = [] } = config;
  const counts: readonly [string, number, number][] = [
    ["variables", Env.length, MAX_ITEMS],
    ["ports", Object.keys(ExposedPorts).length, MAX_PORTS],
    ["volumes", Object.keys(Volumes).length, MAX_ITEMS],
    ["labels", Object.keys(Labels).length, MAX_ITEMS],
    ["triggers", OnBuild.length, MAX_ITEMS],
    ["words of a shell", Shell.length, MAX_ITEMS],
    ["bytes of variables", Env.reduce((sum, item) => sum + Buffer.byteLength(item), 0), MAX_ENV_BYTES],
  ];
  for (const [what, count, most] of counts)
    if (count > most) throw new WordError(`an image has at most ${most} ${what}`);
  return config;
}

const CONFIG: ReadonlySet<string> = new Set(
  "ENV LABEL USER STOPSIGNAL EXPOSE VOLUME SHELL CMD ENTRYPOINT ONBUILD MAINTAINER".split(" "),
);

/** A command as JSON, or one for the shell. Pure. */
export function commandOf({ config }: StageState, text: string): string[] {
  return jsonWords(text) ?? [...(config.Shell ?? DEFAULT_SHELL), text];
}

/** A list of texts in JSON, or undefined for what is none. Pure. */
export function jsonWords(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((item) => typeof item === "string") ? list : undefined;
  } catch {
    return undefined; // Docker, too, takes it for a line of the shell
  }
}

/** `NAME=value NAME=value`, or the old form of one, `NAME value`. */
function pairs(text: string, escaping: string, lookup: Lookup, keyword: string): [string, string][] {
  const raw = rawWords(text, escaping);
  if (!raw[0]?.includes("=")) {
    const [, name, rest] = /^(\S+)\s+(.*)$/s.exec(text) ?? [];
    if (name === undefined) throw new WordError(`${keyword} takes NAME=value`);
    return [[expandText(name, escaping, lookup), expandText(rest!, escaping, lookup)]];
  }
  return raw.map((word) => {
    // The name may be quoted as well.
    const whole = expandText(word, escaping, lookup);
    const name = expandText(beforeEquals(word), escaping, lookup);
    if (name === "" || whole[name.length] !== "=")
      throw new WordError(`${keyword} takes NAME=value, not '${word}'`);
    return [name, whole.slice(name.length + 1)];
  });
}

function beforeEquals(word: string): string {
  let quote = "";
  for (const [at, char] of [...word].entries()) {
    if (char === quote) quote = "";
    else if (quote === "" && (char === '"' || char === "'")) quote = char;
    else if (quote === "" && char === "=") return word.slice(0, at);
  }
  throw new WordError(`'${word}' has no =`);
}

function keysOf(list: readonly string[]): Record<string, object> {
  return Object.fromEntries(list.map((key) => [key, {}]));
}

function portsOf(word: string): string[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word);
  const [, first, last = first, protocol = "tcp"] = match ?? [];
  const [from, to] = [Number(first), Number(last)];
  if (match === null || from < 1 || to > 65_535 || to < from) throw new WordError(`'${word}' is no port`);
  return Array.from({ length: to - from + 1 }, (_, index) => `${from + index}/${protocol.toLowerCase()}`);
}

function signalOf(word: string): string {
  if (isSignal(word)) return word;
  throw new WordError(`'${word}' is no signal: give a name, as SIGTERM, or a number from 1 to 64`);
}

const HEALTH_TIMES = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
} as const;

function healthcheckOf(state: StageState, flags: Instruction["flags"], text: string): Healthcheck {
  const check: Healthcheck = { Test: [] };
  if (/^none$/i.test(text)) {
    if (flags.length > 0) throw new WordError("HEALTHCHECK NONE takes no options");
    return { Test: ["NONE"] };
  }
  for (const { name, value = "" } of flags) {
    if (name in HEALTH_TIMES) check[HEALTH_TIMES[name as keyof typeof HEALTH_TIMES]] = durationNs(value);
    else if (name === "retries" && /^\d{1,6}$/.test(value)) check.Retries = Number(value);
    else throw new WordError(`HEALTHCHECK does not take --${name}=${value}`);
  }
  const [, command] = /^cmd\s+(.*)$/is.exec(text) ?? [];
  if (command === undefined) throw new WordError("HEALTHCHECK is followed by CMD or NONE");
  const list = jsonWords(command);
  check.Test = list === undefined ? ["CMD-SHELL", command] : ["CMD", ...list];
  // Another shell is said by the command itself.
  if (list === undefined && state.config.Shell !== undefined)
    check.Test = ["CMD", ...state.config.Shell, command];
  return check;
}

const UNITS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** As Go writes times: "1m30s". */
function durationNs(text: string): number {
  if (text === "0") return 0;
  let total = 0;
  const rest = text.replace(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g, (_, count: string, unit: string) => {
    total += Number(count) * UNITS[unit]!;
    return "";
  });
  if (text === "" || rest !== "") throw new WordError(`'${text}' is no time, as 30s or 1m30s`);
  return Math.round(total);
}
