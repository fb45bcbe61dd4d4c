import { SmolVM } from "../../smolvm.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import { parseHostAddress, parsePort } from "../args/port.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import { runningSandbox } from "../guest/running.ts";
import type { Io } from "../io.ts";
import { successEnvelope } from "../render/json.ts";
import { formatPort } from "../render/units.ts";

const spec: CommandSpec = {
  name: "port",
  usage: "[OPTIONS] NAME [GUEST]",
  operands: { min: 1, max: 2, what: "the sandbox's name", complete: "sandboxes" },
  options: [
    { name: "host-port", value: "PORT", help: "port on this machine (default: any free one)" },
    { name: "host-address", value: "ADDRESS", help: "address to listen on (default: 127.0.0.1)" },
    { name: "foreground", help: "forward until Ctrl-C, and no longer" },
    { name: "remove", help: "end the forwards of GUEST (without it: of every port)" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Forwards a port of this machine into the sandbox whenever that runs, until the forward or the sandbox is removed; smolvm's supervisor does it in the background. It works in every network mode, because connections travel on the agent's channel. Prints the address. Without GUEST: shows which ports are forwarded.",
    "With --foreground the command itself forwards; with --json the object comes when the port is open.",
  ],
  examples: [
    "smolvm port box 8000",
    "smolvm port box 80 --host-port 8080",
    "smolvm port box",
    "smolvm port --remove box 80",
  ],
};

/** A forward as the command line was asked for it. */
interface Wanted {
  readonly hostPort?: number;
  readonly hostAddress?: string;
}

async function portCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, guest] = args.operands as [string, string | undefined];
  const guestPort = guest === undefined ? undefined : parsePort("GUEST", guest);
  const hostPort = args.value("host-port");
  const hostAddress = args.value("host-address");
  const wanted: Wanted = {
    ...(hostPort === undefined ? {} : { hostPort: parsePort("--host-port", hostPort) }),
    ...(hostAddress === undefined ? {} : { hostAddress: parseHostAddress("--host-address", hostAddress) }),
  };
  if (args.flag("remove")) {
    if (args.flag("foreground"))
      throw usage(spec, "--remove and --foreground exclude each other", "Give one of them.");
    return remove(name, { ...wanted, ...(guestPort === undefined ? {} : { guestPort }) });
  }
  if (guestPort === undefined) {
    if (hostPort !== undefined || hostAddress !== undefined || args.flag("foreground"))
      throw usage(spec, "the guest port is missing", `Say which: smolvm port ${name} 8000`);
    return list(name);
  }
  return args.flag("foreground")
    ? forward(io, name, guestPort, wanted)
    : publish(io, name, guestPort, wanted);
}

async function list(name: string): Promise<Outcome> {
  const vm = await SmolVM.get(name);
  const ports = await vm.ports.published();
  return {
    data: ports,
    text: () => ports.map((port) => `${formatPort({ ...port, hostPort: port.hostPort ?? 0 })}\n`).join(""),
  };
}

async function remove(name: string, filter: Wanted & { guestPort?: number }): Promise<Outcome> {
  const removed = await (await SmolVM.get(name)).ports.unpublish(filter);
  return { data: removed };
}

async function publish(io: Io, name: string, guestPort: number, wanted: Wanted): Promise<Outcome> {
  const vm = await SmolVM.get(name);
  const port = await vm.ports.publish(guestPort, { ...wanted, signal: io.interrupts.signal });
  if (port.hostPort === undefined) {
    io.note(
      `port ${guestPort} of ${vm.name} gets a port of this machine when the sandbox starts: smolvm start ${vm.name}`,
    );
    return { data: { name: vm.name, ...port } };
  }
  return { data: { name: vm.name, ...port }, text: () => `${port.url}\n` };
}

async function forward(io: Io, name: string, guestPort: number, wanted: Wanted): Promise<Outcome> {
  const vm = await runningSandbox(name);
  try {
    const { hostPort, hostAddress, url } = await vm.ports.expose(guestPort, wanted);
    const data = { name: vm.name, guestPort, hostPort, hostAddress, url };
    // The result is wanted while the port is open, so it is not left to the end as elsewhere.
    await io.stdout.write(io.json ? `${JSON.stringify(successEnvelope("port", data))}\n` : `${url}\n`);
    io.note(`forwarding ${url} -> port ${guestPort} of ${vm.name}; Ctrl-C ends it`);
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
