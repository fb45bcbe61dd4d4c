import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readFileSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { endVmm, type LentMachine, lendMachine, type Target } from "../machine.ts";
import { MinimalAgent, withAgent } from "./minimal-agent.ts";
import { connectWhenThere } from "./raw-agent.ts";

const MIB = 2 ** 20;

/**
 * A template by hand: the machine of the minimal agent has run a command, its memory is a file and the state of its devices another. Restored
 * by QEMU alone, with nothing of ours between.
 */
export class MinimalTemplate implements AsyncDisposable {
  readonly #lent: LentMachine;
  readonly #args: readonly string[];
  readonly #files: { readonly memory: string; readonly state: string; readonly socket: string };
  readonly #state: Buffer;
  /** the file of what was translated, if that is kept */
  readonly #code: string | undefined;

  private constructor(
    lent: LentMachine,
    args: readonly string[],
    files: { memory: string; state: string; socket: string },
    code: string | undefined,
  ) {
    this.#lent = lent;
    this.#args = args;
    this.#files = files;
    this.#state = readFileSync(files.state);
    this.#code = code;
  }

  /**
   * Boots the machine, has it run what will be run, and keeps it.
   * @param translations keeps also the code that it has translated: on a QEMU of ours
   */
  static async record(target: Target, translations = false): Promise<MinimalTemplate> {
    const lent = await lendMachine({ ...target, template: "off" });
    const { argv, socket } = lent.machine;
    const directory = dirname(socket);
    const args = [argv[0]!, ...(await withAgent(argv.slice(1), directory, target))];
    const files = { memory: join(directory, "memory"), state: join(directory, "saved"), socket };
    const file = openSync(files.memory, "w");
    ftruncateSync(file, memoryMib(args) * MIB);
    closeSync(file);
    const vmm = start(withMemory(args, files.memory, true));
    const agent = await answering(socket, vmm);
    await agent.run("/bin/sh", "-c", "echo hi");
    const monitor = await Qmp.connect(args);
    const code = translations ? join(directory, "code") : undefined;
    if (code !== undefined) {
      await monitor.execute("stop");
      await monitor.execute("translations-flush");
      await monitor.execute("cont");
      await agent.run("/bin/sh", "-c", "echo hi");
    }
    await monitor.execute("stop");
    await monitor.execute("xen-save-devices-state", { filename: files.state, live: false });
    if (code !== undefined)
      await monitor.execute("translations-save", { filename: code, key: "floor", max: 64 * MIB });
    await agent[Symbol.asyncDispose]();
    return new MinimalTemplate(lent, args, files, code);
  }

  /** A machine that goes on from it. @param number tells those that run at the same time apart */
  async restore(number = 0): Promise<MinimalAgent> {
    const { memory } = this.#files;
    const own = (path: string): string => (number === 0 ? path : `${path}.${number}`);
    const socket = own(this.#files.socket);
    const incoming = own(join(dirname(socket), "incoming"));
    for (const path of [socket, incoming]) rmSync(path, { force: true }); // a former machine's
    const args = this.#args.map((word) => word.replace(/^(socket,id=[^,]*,path=[^,]*)/, own));
    const vmm = start([
      ...withMemory(number === 0 ? this.#args : args.map(shared), memory, false),
      ...["-global", "migration.send-configuration=off"],
      ...["-incoming", this.#code === undefined ? `unix:${incoming}` : "defer"],
    ]);
    if (this.#code !== undefined) await this.#offer(this.#code, incoming);
    (await connectWhenThere(incoming)).end(this.#state);
    return await answering(socket, vmm);
  }

  /** Has the machine look at the code, and then wait for its state. */
  async #offer(filename: string, incoming: string): Promise<void> {
    const monitor = await Qmp.connect(this.#args);
    await monitor.execute("translations-load", { filename, key: "floor" });
    await monitor.execute("migrate-incoming", { uri: `unix:${incoming}` });
    monitor.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lent[Symbol.asyncDispose]();
  }
}

/** Several may open the disk at once. */
function shared(word: string): string {
  return word.startsWith("driver=file,") || word.includes(",driver=file,") ? `${word},locking=off` : word;
}

function start(argv: readonly string[]): ChildProcess {
  // A session of its own, as ours have: Linux divides the processor among sessions first.
  return spawn(argv[0]!, argv.slice(1), { stdio: ["ignore", "pipe", "ignore"], detached: true });
}

async function answering(socket: string, vmm: ChildProcess): Promise<MinimalAgent> {
  return new MinimalAgent(await connectWhenThere(socket), vmm, () => endVmm(vmm));
}

/** The same command line with its memory in a file. */
function withMemory(argv: readonly string[], path: string, share: boolean): string[] {
  const place = argv.indexOf("-machine") + 1;
  const object = `memory-backend-file,id=memory,size=${memoryMib(argv)}M,mem-path=${path},share=${share ? "on" : "off"}`;
  return [...argv.with(place, `${argv[place]},memory-backend=memory`), "-object", object];
}

function memoryMib(argv: readonly string[]): number {
  return Number.parseInt(argv[argv.indexOf("-m") + 1]!, 10);
}

/** Just enough of QEMU's monitor. */
class Qmp {
  readonly #lines: AsyncIterator<string>;
  readonly #socket: Socket;

  private constructor(lines: AsyncIterator<string>, socket: Socket) {
    this.#lines = lines;
    this.#socket = socket;
  }

  static async connect(argv: readonly string[]): Promise<Qmp> {
    const path = argv
      .map((word) => /^socket,id=qmp,path=([^,]*)/.exec(word)?.[1])
      .find((found) => found !== undefined);
    const socket = await connectWhenThere(path!);
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const qmp = new Qmp(lines, socket);
    await lines.next(); // its greeting
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  async execute(execute: string, args: object = {}): Promise<void> {
    this.#socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    for (;;) {
      const answer = JSON.parse(String((await this.#lines.next()).value)) as {
        return?: unknown;
        error?: object;
      };
      if (answer.error !== undefined) throw new Error(JSON.stringify(answer.error));
      if (answer.return !== undefined) return;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}
