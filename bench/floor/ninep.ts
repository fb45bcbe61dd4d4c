import { spawn } from "node:child_process";
import { qemuOption } from "../../src/backends/qemu/option.ts";
import type { VMConfig } from "../../src/index.ts";
import { endVmm, lendMachine } from "../machine.ts";
import { RawAgent } from "./raw-agent.ts";

/** How the guest mounts it. "none": it asks each time, as it must where the host's files change; "loose": it believes what it has read, whatever the host does. */
export const CACHES = ["none", "loose"] as const;

/**
 * A sandbox's machine with a directory of the host by QEMU's 9p at /mnt/none and /mnt/loose, started by hand: nothing of ours is between
 * but the agent that runs the commands.
 */
export class NinePMachine implements AsyncDisposable {
  readonly #agent: RawAgent;
  readonly #end: () => Promise<void>;

  private constructor(agent: RawAgent, end: () => Promise<void>) {
    this.#agent = agent;
    this.#end = end;
  }

  /** @param options of a sandbox on q35 whose kernel has 9p (full-kernel.ts) */
  static async boot(options: VMConfig, directory: string): Promise<NinePMachine> {
    const lent = await lendMachine(options);
    const { argv, socket, greeting } = lent.machine;
    const shares = CACHES.flatMap((tag) => [
      "-virtfs",
      qemuOption("local", {
        path: directory,
        mount_tag: tag,
        security_model: "none",
        readonly: false,
        multidevs: "remap",
      }),
    ]);
    // A session of its own, as ours have: Linux divides the processor among sessions first.
    const vmm = spawn(argv[0]!, [...argv.slice(1), ...shares], { stdio: "ignore", detached: true });
    const agent = await RawAgent.connect(socket, greeting);
    const machine = new NinePMachine(agent, async () => {
      agent.close();
      await endVmm(vmm);
      await lent[Symbol.asyncDispose]();
    });
    // The largest message that its server takes, as its documentation recommends.
    for (const cache of CACHES)
      await machine.shell(
        `mkdir -p /mnt/${cache} && mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=${cache} ${cache} /mnt/${cache}`,
      );
    return machine;
  }

  /** Runs a program; its words may have no quotes. */
  async run(argv: readonly string[]): Promise<string> {
    return await this.shell(argv.map((word) => `'${word}'`).join(" "));
  }

  /** Runs a line of the shell's. @throws Error where it fails */
  async shell(line: string): Promise<string> {
    const { text } = await this.#agent.run(`{ ${line}; } 2>&1; echo " status $?"`);
    const [, output = "", status] = /^(.*) status (\d+)\n$/s.exec(text) ?? [];
    if (status !== "0") throw new Error(`the floor's '${line.slice(0, 60)}' failed: ${text.slice(-400)}`);
    return output;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end();
  }
}
