import { SmolVM } from "../../smolvm.ts";
import { envFiles } from "../args/environment.ts";
import { COMMON_OPTIONS, ENV_FILE_OPTION } from "../args/options.ts";
import { parseEnv } from "../args/pairs.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { visibleLines } from "../render/visible.ts";

const spec: CommandSpec = {
  name: "env",
  usage: "[OPTIONS] NAME [K=V... | K...]",
  operands: {
    min: 1,
    max: Number.POSITIVE_INFINITY,
    what: "the sandbox's name",
    complete: "sandboxes",
  },
  options: [
    { name: "unset", value: "K", repeat: true, help: "take that variable away" },
    ENV_FILE_OPTION,
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "The environment that the sandbox gives each of its commands. Without more it is shown, as K=V lines; with K alone that variable's value (exit code 1 if it is not set). Changes are for commands that are started from then on, also after a restart; what runs keeps what it has, and exec's own --env goes over it.",
    "The variables are kept as plain text under this user's data directory, like the sandbox's disk.",
  ],
  examples: ["smolvm env box", "smolvm env box LANG=C.UTF-8 --unset DEBUG", "smolvm env box LANG"],
};

async function envCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, ...words] = args.operands as [string, ...string[]];
  const pairs = words.filter((word) => word.includes("="));
  const names = words.filter((word) => !word.includes("="));
  const unset = args.values("unset");
  if (pairs.some((pair) => pair.startsWith("="))) throw usage(spec, "a variable has no name");
  const changes = pairs.length + unset.length + args.values("env-file").length > 0;
  if (changes && names.length > 0) {
    throw usage(
      spec,
      `'${names[0]}' has no value`,
      `Write ${names[0]}=VALUE to set it, --unset ${names[0]} to take it away, or look at it in a command of its own.`,
    );
  }
  const files = await envFiles(io, args.values("env-file"));
  const { env: given } = parseEnv(pairs, {});
  const vm = await SmolVM.get(name);
  if (changes) {
    await vm.env.set({
      ...files,
      ...given,
      ...Object.fromEntries(unset.map((variable) => [variable, undefined])),
    });
    return { data: { name: vm.name, env: await vm.env.list() } };
  }
  return shown(io, vm.name, await vm.env.list(), names);
}

/** All variables, or those that were asked for: one alone as its bare value. */
function shown(
  io: Io,
  name: string,
  env: Readonly<Record<string, string>>,
  names: readonly string[],
): Outcome {
  const wanted = names.length === 0 ? Object.keys(env) : names.filter((key) => Object.hasOwn(env, key));
  const missing = names.filter((key) => !Object.hasOwn(env, key));
  for (const key of missing) io.note(`${key} is not set in ${name}`);
  const line = (key: string): string => (names.length === 1 ? env[key]! : `${key}=${env[key]}`);
  return {
    data: { name, env: Object.fromEntries(wanted.map((key) => [key, env[key]])) },
    text: () => {
      const text = wanted.map((key) => `${line(key)}\n`).join("");
      return io.stdout.isTTY ? visibleLines(text) : text;
    },
    exitCode: missing.length > 0 ? 1 : 0,
  };
}

export const env: Command = { spec, run: envCommand };
