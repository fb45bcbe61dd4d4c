import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { request } from "node:http";
import { dirname, join } from "node:path";
import { endVmm, type LentMachine, lendMachine, type Target } from "../machine.ts";
import { connectWhenThere, RawAgent } from "./raw-agent.ts";

/**
 * A machine that Firecracker has saved, by hand: booted with our agent, it has run a command. Restored by Firecracker alone, with
 * nothing of ours between.
 */
export class FirecrackerTemplate implements AsyncDisposable {
  readonly #lent: LentMachine;
  readonly #program: string;
  readonly #files: ReturnType<typeof filesIn>;
  readonly #disk: string;

  private constructor(lent: LentMachine, program: string, disk: string) {
    this.#lent = lent;
    this.#program = program;
    this.#files = filesIn(lent.machine.socket);
    this.#disk = disk;
  }

  static async record(target: Target): Promise<FirecrackerTemplate> {
    const lent = await lendMachine({ ...target, template: "off" });
    const { argv, socket, greeting, disk } = lent.machine;
    const files = filesIn(socket);
    rmSync(socket, { force: true });
    const vmm = start([...argv.filter((word) => word !== "--no-api"), "--api-sock", files.api]);
    const agent = await RawAgent.connect(socket, greeting);
    await agent.run("echo hi");
    agent.close();
    await ask(files.api, "PATCH", "/vm", { state: "Paused" });
    const to = { snapshot_path: files.state, mem_file_path: files.memory };
    await ask(files.api, "PUT", "/snapshot/create", { snapshot_type: "Full", ...to });
    await endVmm(vmm);
    copySparse(disk!, `${disk}.saved`);
    return new FirecrackerTemplate(lent, argv[0]!, disk!);
  }

  /** Gives the next one the disk that belongs to the memory. */
  renew(): void {
    copySparse(`${this.#disk}.saved`, this.#disk);
  }

  /** A machine that goes on from it, and its agent. */
  async restore(): Promise<{ agent: RawAgent; end: () => Promise<void> }> {
    const { api, state, memory } = this.#files;
    const { socket, greeting } = this.#lent.machine;
    for (const path of [socket, api]) rmSync(path, { force: true }); // a former machine's
    const vmm = start([this.#program, "--api-sock", api, "--level", "Warning"]);
    (await connectWhenThere(api)).destroy();
    const mem_backend = { backend_type: "File", backend_path: memory };
    await ask(api, "PUT", "/snapshot/load", { snapshot_path: state, mem_backend, resume_vm: true });
    const agent = await RawAgent.connect(socket, greeting);
    return { agent, end: () => endVmm(vmm) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(`${this.#disk}.saved`, { force: true });
    await this.#lent[Symbol.asyncDispose]();
  }
}

function filesIn(socket: string): { api: string; state: string; memory: string } {
  const directory = dirname(socket);
  return {
    api: join(directory, "api"),
    state: join(directory, "floor-state"),
    memory: join(directory, "floor-memory"),
  };
}

/** A disk is nearly all holes, and the lab has its files in memory. */
function copySparse(from: string, to: string): void {
  execFileSync("cp", ["--sparse=always", from, to]);
}

function start(argv: readonly string[]): ChildProcess {
  // A session of its own, as ours have: Linux divides the processor among sessions first.
  return spawn(argv[0]!, argv.slice(1), { stdio: "ignore", detached: true });
}

function ask(socketPath: string, method: string, path: string, body: object): Promise<void> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify(body);
    const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) };
    const asked = request({ socketPath, method, path, headers }, (response) => {
      let said = "";
      response.on("data", (chunk: Buffer) => {
        said += chunk.toString();
      });
      response.on("end", () =>
        response.statusCode === 204 ? resolve() : reject(new Error(`${path}: ${said}`)),
      );
    });
    asked.on("error", reject);
    asked.end(text);
  });
}
