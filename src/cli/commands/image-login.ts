import { isTerminal } from "../../host/terminal/is-terminal.ts";
import { login } from "../../images/registry/login.ts";
import { Deadline } from "../../util/deadline.ts";
import { timeoutOption } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import { INSECURE_OPTION } from "../args/registry.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

/** No password is longer. */
const MAX_PASSWORD_BYTES = 64 * 1024;

const spec: CommandSpec = {
  name: "image login",
  usage: "--username NAME [OPTIONS] [REGISTRY]",
  operands: { min: 0, max: 1, what: "the registry" },
  options: [
    { name: "username", short: "u", value: "NAME", help: "who you are there" },
    INSECURE_OPTION,
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "The password, or a token, is read from stdin. Without a registry it is Docker's. It is kept where Docker keeps it: REGISTRY_AUTH_FILE, or ~/.docker/config.json, in the clear unless that file names a helper.",
  ],
  examples: [
    "smolvm image login -u me ghcr.io < token",
    "pass show registry | smolvm image login -u me localhost:5000",
  ],
};

async function imageLoginCommand(io: Io, args: Arguments): Promise<Outcome> {
  const username = args.value("username");
  if (username === undefined || username === "" || username.includes(":"))
    throw usage(
      spec,
      "the user's name is missing, or is none",
      "Say who you are there: smolvm image login -u NAME REGISTRY < FILE",
    );
  if (isTerminal(0))
    throw usage(
      spec,
      "the password is read from stdin, which is a terminal",
      "Give it from a file or a program: smolvm image login -u NAME REGISTRY < FILE",
    );
  let password = "";
  for await (const chunk of process.stdin) {
    password += String(chunk);
    if (password.length > MAX_PASSWORD_BYTES)
      throw usage(spec, "stdin is longer than a password", "Give the password alone.");
  }
  const credentials = { username, password: password.replace(/\r?\n$/, "") };
  const { registry, keptIn } = await login(args.operands[0], credentials, {
    insecure: args.flag("insecure"),
    deadline: Deadline.of("logging in", {
      timeoutMs: timeoutOption(args),
      signal: io.interrupts.signal,
      option: "--timeout",
    }),
  });
  io.note(`logged in to ${registry} as ${username}; kept in ${keptIn}`);
  return { data: { registry, username, keptIn }, text: () => `${registry}\n` };
}

export const imageLogin: Command = { spec, run: imageLoginCommand };
