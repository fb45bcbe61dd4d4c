import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { dirname, join } from "node:path";
import { hostArch } from "../../src/host/hardware/facts.ts";
import { runProgram } from "../../src/host/process/run.ts";
import { CPIO_FILE, writeCpio } from "../../src/images/formats/cpio.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { endVmm, lendMachine, type Target } from "../machine.ts";
import { connectWhenThere } from "./raw-agent.ts";

/** What the minimal agent answered. */
export interface Answer {
  /** of wait(2), or an error number */
  readonly status: number;
  readonly text: string;
}

/**
 * A machine with the kernel and disks of our sandboxes, in which agent.c is PID 1: what a command costs where nothing stands
 * around it. It is a machine of its own, because what our agent costs its machine must not be part of the floor.
 */
export class MinimalAgent implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #end: () => Promise<void>;
  #received: Buffer = Buffer.alloc(0);
  #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;

  /** of its VMM */
  readonly pid: number;

  constructor(socket: Socket, vmm: ChildProcess, end: () => Promise<void>) {
    this.#socket = socket;
    this.pid = vmm.pid!;
    this.#end = end;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    let console = "";
    vmm.stdout!.on("data", (chunk: Buffer) => {
      console = (console + chunk.toString("latin1")).slice(-4_000);
    });
    vmm.once("exit", () => this.#waiting?.reject(new Error(`the floor's machine ended:\n${console}`)));
  }

  /**
   * Boots it, on QEMU.
   * @throws SmolVMError HOST_FAILED: there is no C compiler for the guest's architecture, or no static C library
   */
  static async boot(target: Target): Promise<MinimalAgent> {
    const lent = await lendMachine(target);
    const { argv, socket } = lent.machine;
    // A session of its own, as ours have: Linux divides the processor among sessions first.
    const vmm = spawn(argv[0]!, await withAgent(argv.slice(1), dirname(socket), target), {
      stdio: ["ignore", "pipe", "ignore"],
      detached: true,
    });
    return new MinimalAgent(await connectWhenThere(socket), vmm, async () => {
      await endVmm(vmm);
      await lent[Symbol.asyncDispose]();
    });
  }

  /** Runs a program by its path; the answer has what it printed. */
  run(...argv: string[]): Promise<Answer> {
    return this.#ask("r", argv.map((word) => `${word}\0`).join(""));
  }

  /** Its text is a struct stat, in the guest's layout. */
  stat(path: string): Promise<Answer> {
    return this.#ask("s", path);
  }

  read(path: string): Promise<Answer> {
    return this.#ask("g", path);
  }

  write(path: string, content: string): Promise<Answer> {
    return this.#ask("p", `${path}\0${content}`);
  }

  #ask(what: string, rest: string): Promise<Answer> {
    const bytes = Buffer.from(`----${what}${rest}`);
    bytes.writeUInt32LE(bytes.length - 4, 0);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(bytes);
    });
  }

  #read(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    if (this.#received.length < 8 || this.#received.length < 4 + this.#received.readUInt32LE(0)) return;
    const answer = { status: this.#received.readUInt32LE(4), text: this.#received.toString("latin1", 8) };
    this.#received = Buffer.alloc(0);
    this.#waiting?.resolve(answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#waiting = undefined;
    this.#socket.destroy();
    await this.#end();
  }
}

/** QEMU's arguments with agent.c as the initramfs's /init: of two archives one after the other, the later one's files win. */
export async function withAgent(
  args: readonly string[],
  directory: string,
  target: Target,
): Promise<string[]> {
  const agent = join(directory, "floor-agent");
  const arch = target.arch ?? hostArch();
  const compiler = arch === hostArch() ? "gcc" : `${arch}-linux-gnu-gcc`;
  await runProgram([compiler, "-static", "-O2", "-s", "-o", agent, join(import.meta.dirname, "agent.c")], {
    deadline: Deadline.of("compiling the floor's agent", { timeoutMs: 60_000 }),
    installHint: `apt-get install gcc${compiler === "gcc" ? "" : `-${arch?.replace("_", "-")}-linux-gnu`} libc6-dev`,
  });
  const initrd = join(directory, "floor-initrd");
  const place = args.indexOf("-initrd") + 1;
  const init = writeCpio([{ path: "init", mode: CPIO_FILE | 0o755, data: readFileSync(agent) }]);
  writeFileSync(initrd, Buffer.concat([readFileSync(args[place]!), init]));
  return args.with(place, initrd);
}
