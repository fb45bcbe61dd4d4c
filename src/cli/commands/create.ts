import type { Limits, VMConfig } from "../../config/options.ts";
import type { BringPort } from "../../config/spec.ts";
import { SmolVM } from "../../smolvm.ts";
import { parseDurationMs } from "../args/duration.ts";
import { environment } from "../args/environment.ts";
import { commandLimits } from "../args/limits.ts";
import { BRING_OPTION, COMMON_OPTIONS, limitOptions, SANDBOX_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import { type Bring, parseBrings } from "../args/port.ts";
import { gdbNote, notPublished, sandboxConfig } from "../args/sandbox-config.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "create",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 1, what: "nothing" },
  options: [
    ...SANDBOX_OPTIONS,
    ...limitOptions("all commands together"),
    BRING_OPTION,
    { name: "start", help: "start it too" },
    { name: "auto-start", help: "a stopped or crashed one is started by the next command that needs it" },
    { name: "timeout", value: "TIME", help: "give up after that time (default: 60s)" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Prints the sandbox's name. It outlives this command; start it with: smolvm start NAME",
    "Ports (-p, -R) lead where they are to whenever it runs, and --ttl is seen to, by smolvm's supervisor: a process in the background that comes when it is needed and goes when it is not.",
  ],
  examples: [
    "smolvm create --name box --start",
    "smolvm create --name web --start -p 8080:80 --ttl 2h",
    "smolvm create --image debian --cpus 2 --memory 2G --disk 10G",
  ],
};

async function createCommand(io: Io, args: Arguments): Promise<Outcome> {
  const extra = args.operands[0];
  if (extra !== undefined) {
    throw usage(
      spec,
      `unexpected argument '${extra}'`,
      `Write: smolvm create --name ${extra} (or --image ${extra})`,
    );
  }
  const config = sandboxConfig(args, await environment(io, args));
  const limits = commandLimits(args);
  const timeout = args.value("timeout");
  const bring = parseBrings(args.values("bring"));
  const options: VMConfig & Limits = {
    ...config,
    ...(args.flag("auto-start") ? { autoStart: true } : {}),
    ...(limits === undefined ? {} : { limits }),
    ...(bring.length === 0 ? {} : { bring: bring.map(toPort) }),
    lifetime: "detached",
    onProgress: io.onProgress,
    signal: io.interrupts.signal,
    ...(timeout === undefined ? {} : { timeoutMs: parseDurationMs("--timeout", timeout) }),
  };
  const vm = args.flag("start") ? await SmolVM.create(options) : await SmolVM.define(options);
  const info = await vm.info();
  await vm[Symbol.asyncDispose]();
  if (info.state === "running" && config.gdbPort !== undefined) io.note(gdbNote(config.gdbPort));
  const notForwarded = config.publishAll ? notPublished(info.imagePorts) : undefined;
  if (notForwarded !== undefined) io.note(notForwarded);
  if (info.state === "created") io.note(`Start it with: smolvm start ${info.name}`);
  return { data: info, text: () => `${info.name}\n` };
}

function toPort({ guestPort, target: { host, port } }: Bring): BringPort {
  return host === undefined ? { guestPort, port } : { guestPort, host, port };
}

export const create: Command = { spec, run: createCommand };
