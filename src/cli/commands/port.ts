import type { Arguments } from "../args/arguments.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { parsePort } from "../args/port.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { runningSandbox } from "../guest/running.ts";
import type { Io } from "../io.ts";
import { successEnvelope } from "../render/json.ts";

const spec: CommandSpec = {
  name: "port",
  usage: "[OPTIONS] NAME GUEST",
  operands: { min: 2, max: 2, what: "the sandbox's name or the guest port", complete: "sandboxes" },
  options: [
    { name: "host-port", value: "PORT", help: "port on this machine (default: any free one)" },
    { name: "host-address", value: "ADDRESS", help: "address to listen on (default: 127.0.0.1)" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Forwards connections until Ctrl-C, in the foreground. It works in every network mode, because connections travel on the agent's channel. Prints the address; with --json the object comes when the port is open.",
  ],
  examples: ["smolvm port box 8000", "smolvm port box 80 --host-port 8080"],
};

async function portCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, guest] = args.operands as [string, string];
  const guestPort = parsePort("GUEST", guest);
  const hostPort = args.value("host-port");
  const hostAddress = args.value("host-address");
  const vm = await runningSandbox(name);
  try {
    const port = await vm.ports.expose(guestPort, {
      ...(hostPort === undefined ? {} : { hostPort: parsePort("--host-port", hostPort) }),
      ...(hostAddress === undefined ? {} : { hostAddress }),
    });
    const data = {
      name: vm.name,
      guestPort,
      hostPort: port.hostPort,
      hostAddress: port.hostAddress,
      url: port.url,
    };
    // The result is wanted while the port is open, so it is not left to the end as elsewhere.
    await io.stdout.write(io.json ? `${JSON.stringify(successEnvelope("port", data))}\n` : `${port.url}\n`);
    io.note(`forwarding ${port.url} -> port ${guestPort} of ${vm.name}; Ctrl-C ends it`);
    await ended(io.interrupts.signal);
    return { data, printed: true };
  } finally {
    await vm[Symbol.asyncDispose]();
  }
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

export const port: Command = { spec, run: portCommand };
