import type { ChildProcess } from "node:child_process";
import { readFileSync, realpathSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { locateFirecracker } from "../src/backends/firecracker/locate.ts";
import { readEnvironment } from "../src/host/environment.ts";
import { SmolVM, type VMConfig } from "../src/index.ts";
import { coldStart, RawAgent } from "./floor/raw-agent.ts";
import { checkOutput } from "./stats.ts";

/** What is measured: options of the sandboxes, from the command line. */
export type Target = Pick<VMConfig, "backend" | "arch" | "kernel" | "accelerator"> & {
  readonly network: "off";
  /** in which each is made: long, for the lab */
  readonly timeoutMs: number;
};

/** How a machine is started by hand, and where its agent answers. */
export interface RawMachine {
  readonly argv: readonly string[];
  readonly socket: string;
  /** what the VMM wants to hear before the agent does */
  readonly greeting: string;
  /** Firecracker's: the one that it writes to */
  readonly disk?: string;
}

/** To Firecracker: the vsock port on which the agent listens (protocol/PROTOCOL.md). */
const CONNECT = "CONNECT 1024\n";

/** A machine that nobody uses: lent by a sandbox of ours that was stopped. */
export interface LentMachine extends AsyncDisposable {
  readonly machine: RawMachine;
}

/** The machine that sandboxes with these options have, to be started by hand. */
export async function lendMachine(options: Parameters<typeof SmolVM.create>[0]): Promise<LentMachine> {
  const model = await SmolVM.create(options);
  const machine = await rawMachine(model, 1);
  await model.stop();
  return { machine, [Symbol.asyncDispose]: () => model.delete({ force: true }) };
}

/**
 * The machine of a running sandbox as the floor starts it: the same VMM, kernel, disks and sockets. The sandbox has to be
 * stopped before.
 * @param port of the machine's channel, where it has several
 */
async function rawMachine(vm: SmolVM, port: number): Promise<RawMachine> {
  const { pid, backend } = await vm.info();
  const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").slice(0, -1);
  if (backend === "qemu") return { argv, socket: socketInArgv(argv, port), greeting: "" };
  const control = argv[argv.indexOf("--api-sock") + 1]!;
  const directory = dirname(control);
  const config = ownNames(await firecrackerConfig(control), directory);
  const file = join(directory, "config.json");
  writeFileSync(file, JSON.stringify(config));
  return {
    // Not the one in argv: in a jail that is a copy, under another name.
    argv: [
      locateFirecracker(readEnvironment(process.env))!,
      "--no-api",
      "--config-file",
      file,
      "--level",
      "Warning",
    ],
    socket: config.vsock.uds_path,
    greeting: CONNECT,
    disk: config.drives.find((drive) => !drive.is_read_only)!.path_on_host,
  };
}

/**
 * Boots a machine by hand up to its first checked output, and ends it.
 * @param measure what is wanted of the VMM's process at that moment
 */
export async function bootByHand<T>(
  { argv, socket, greeting }: RawMachine,
  measure: (pid: number) => T,
): Promise<T> {
  const { text, vmm } = await coldStart(argv, socket, greeting);
  const measured = measure(vmm.pid!);
  checkOutput(text, "hi\n");
  await endVmm(vmm);
  return measured;
}

/** Kills a VMM, and waits until it is gone. */
export async function endVmm(vmm: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => vmm.once("exit", resolve));
  vmm.kill("SIGKILL");
  await gone;
}

/** A session with a running sandbox's agent over a channel of its own. */
export async function rawAgent(vm: SmolVM, port: number): Promise<RawAgent> {
  const { socket, greeting } = await rawMachine(vm, port);
  return RawAgent.connect(socket, greeting);
}

/** The socket of a channel's port in QEMU's command line. */
function socketInArgv(argv: readonly string[], port: number): string {
  for (const argument of argv) {
    const path = new RegExp(`^socket,id=channel${port},path=([^,]*)`).exec(argument)?.[1];
    if (path !== undefined) return path;
  }
  throw new Error(`this machine has no channel ${port}`);
}

interface FirecrackerConfig {
  readonly vsock: { readonly uds_path: string };
  readonly drives: readonly { readonly path_on_host: string; readonly is_read_only: boolean }[];
}

/** With the names that disks and vsock have on the host, instead of those that all machines have. */
function ownNames(config: FirecrackerConfig, directory: string): FirecrackerConfig {
  const own = (name: string): string => name.replace(/^machine\//, `${directory}/`);
  return {
    ...config,
    vsock: { ...config.vsock, uds_path: own(config.vsock.uds_path) },
    drives: config.drives.map((drive) => ({
      ...drive,
      path_on_host: realpathSync(own(drive.path_on_host)),
    })),
  };
}

/** What Firecracker was told, as a file that it takes instead (GET /vm/config). */
async function firecrackerConfig(socketPath: string): Promise<FirecrackerConfig> {
  const text = await new Promise<string>((resolve, reject) => {
    const asked = request({ socketPath, path: "/vm/config" }, (response) => {
      response.setEncoding("utf8");
      let body = "";
      response.on("data", (chunk: string) => {
        body += chunk;
      });
      response.on("end", () => resolve(body));
    });
    asked.on("error", reject);
    asked.end();
  });
  const given = Object.entries(JSON.parse(text) as object).filter(([, value]) => value !== null);
  return Object.fromEntries(given) as unknown as FirecrackerConfig;
}
