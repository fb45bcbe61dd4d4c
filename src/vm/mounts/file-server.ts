import { existsSync, lchownSync, mkdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { basename, dirname } from "node:path";
import { createInterface } from "node:readline";
import { AGENT_VSOCK_PORT } from "../../backends/firecracker/kernel-args.ts";
import { processHost } from "../../backends/host.ts";
import type { MountSpec } from "../../config/mounts.ts";
import { SmolVMError } from "../../errors.ts";
import { socketPath, type VmFiles } from "../../host/files/filenames.ts";
import { nativeProgram } from "../../host/package.ts";
import { startInBackground } from "../../host/process/detached.ts";
import { lastLines, runProgram } from "../../host/process/run.ts";
import { isolationFacts } from "../../isolation/facts.ts";
import { fileServerArgs, fileServerBubblewrap, SHARED_AT } from "../../isolation/file-server.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home, sessionsAreUnlimited } from "../home.ts";
import { type Answer, refusal } from "./answer.ts";

/** The longest answer of the server, in bytes: a list of mounts with their figures. */
const MAX_ANSWER = 1024 * 1024;

/** The server of one sandbox's host directories: a process of ours that ends with the sandbox. */
export class FileServer {
  readonly #record: VmRecord;
  readonly #files: VmFiles;
  readonly #program: string;

  /** @throws SmolVMError NOT_SUPPORTED: this host has none */
  constructor(home: Home, record: VmRecord) {
    this.#record = record;
    this.#files = filesOf(home, record.id);
    this.#program = requireServer();
    requirePort(record);
  }

  /** Starts it if it does not run. Resolves when it can be asked. @throws SmolVMError MOUNT_FAILED */
  async start(deadline: Deadline): Promise<void> {
    const { mountsDir, filesLog, mounts: control } = this.#files;
    if (await this.#answers(deadline)) return;
    socketPath(control);
    mkdirSync(mountsDir, { recursive: true, mode: 0o700 });
    const session = this.#session();
    // Root without capabilities may not connect to what is another uid's.
    if (process.getuid?.() === 0) lchownSync(session.path, 0, 0);
    const argv = [
      ...(await this.#enclosed({ readOnly: [session.path], writable: [mountsDir] })),
      ...[this.#program, "serve", "--session", session.path, ...session.options, "--control", control],
    ] as [string, ...string[]];
    const said = startInBackground(argv, filesLog);
    try {
      const line = await deadline.race(firstLine(said));
      // Another process may have been faster.
      if (line !== "ready" && !(await this.#answers(deadline)))
        throw failed(`the server of host directories does not start: ${line ?? lastWords(filesLog)}`);
    } finally {
      said.destroy();
    }
  }

  /**
   * Has a directory mounted in the guest.
   * @param user whose the host user's files are in the guest; undefined: root's
   * @throws SmolVMError MOUNT_FAILED, CONFIG_INVALID, VM_STATE
   */
  async share(mount: MountSpec, user: string | undefined, deadline: Deadline): Promise<void> {
    const { mountsDir, mounts: control } = this.#files;
    const dir = mount.file ? dirname(mount.host) : mount.host;
    const enclosed = await this.#enclosed({
      readOnly: [],
      writable: [mountsDir],
      shared: { path: dir, readOnly: mount.mode !== "rw" },
    });
    const { stdout, stderr } = await runProgram(
      [
        ...enclosed,
        ...[this.#program, "share", "--control", control, "--host", enclosed.length > 0 ? SHARED_AT : dir],
        ...[
          "--guest",
          mount.guest,
          "--mode",
          mount.mode,
          "--coherence",
          mount.coherence,
          // Not its path: who runs in the guest need not know what this machine is called.
          ...["--source", "smolvm"],
        ],
        ...(mount.file ? ["--file", basename(mount.host)] : []),
        ...(user === undefined ? [] : ["--user", user]),
      ],
      { deadline, check: false, env: {}, maxOutputBytes: MAX_ANSWER },
    );
    const answer = parseAnswer(stdout) ?? {
      error: { code: 9, message: stderr.trim().split("\n").at(-1) ?? "it said nothing" },
    };
    const error = refusal(answer, mount.guest);
    if (error !== undefined) throw error;
  }

  /**
   * Takes the mount at a path of the guest's away.
   * @param force also while something is open in it
   * @throws SmolVMError MOUNT_NOT_FOUND, VM_BUSY, MOUNT_FAILED
   */
  async unmount(guest: string, force: boolean, deadline: Deadline): Promise<void> {
    const error = refusal(await this.#ask({ op: "unmount", guest, force }, deadline), guest);
    if (error !== undefined) throw error;
  }

  /** What is mounted, with figures; undefined: it does not run. */
  async list(deadline: Deadline): Promise<Answer | undefined> {
    if (!existsSync(this.#files.mounts)) return undefined;
    try {
      return await this.#ask({ op: "list" }, deadline);
    } catch (error) {
      deadline.check();
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      return undefined; // nobody listens: it has ended
    }
  }

  async #answers(deadline: Deadline): Promise<boolean> {
    return (await this.list(deadline)) !== undefined;
  }

  #session(): { readonly path: string; readonly options: readonly string[] } {
    const { machine } = this.#record.spec;
    return sessionsAreUnlimited(this.#record)
      ? { path: this.#files.vsock, options: ["--vsock-port", String(AGENT_VSOCK_PORT)] }
      : { path: this.#files.channel(machine.sessionPorts + 1), options: [] };
  }

  /** Bubblewrap's command line, where there is one. */
  async #enclosed(view: Omit<Parameters<typeof fileServerArgs>[1], "program">): Promise<string[]> {
    const found = fileServerBubblewrap(await isolationFacts(processHost()));
    return "bubblewrap" in found ? fileServerArgs(found.bubblewrap, { ...view, program: this.#program }) : [];
  }

  async #ask(request: object, deadline: Deadline): Promise<Answer> {
    const socket = connect(this.#files.mounts);
    try {
      const chunks: Buffer[] = [];
      let length = 0;
      socket.write(`${JSON.stringify(request)}\n`);
      const read = async (): Promise<void> => {
        for await (const chunk of socket as AsyncIterable<Buffer>) {
          chunks.push(chunk);
          length += chunk.length;
          if (length > MAX_ANSWER || chunk.includes(10)) return;
        }
      };
      await deadline.race(read());
      const answer = parseAnswer(Buffer.concat(chunks).toString());
      if (answer === undefined) throw failed("the server of host directories did not answer");
      return answer;
    } finally {
      socket.destroy();
    }
  }
}

/** The server's program. @throws SmolVMError NOT_SUPPORTED: there is none for this host */
export function requireServer(): string {
  const program = nativeProgram("files");
  if (program === undefined) throw noServer();
  return program;
}

/** @throws SmolVMError NOT_SUPPORTED */
function requirePort(record: VmRecord): void {
  const { name, spec } = record;
  if (spec.machine.mountPort !== true && !sessionsAreUnlimited(record)) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      `sandbox '${name}' has no port for host directories: an earlier version made it`,
      {
        hint: "Make a new one, or copy the files: smolvm cp SRC NAME:DST",
      },
    );
  }
}

function noServer(): SmolVMError {
  const isLinux = process.platform === "linux";
  return new SmolVMError(
    "NOT_SUPPORTED",
    isLinux
      ? "the server of host directories (native/files) is not built"
      : "directories of the host cannot be mounted on this system yet: it has no server for them",
    {
      hint: isLinux
        ? "Build it: scripts/build-native.sh"
        : "Copy the files instead: smolvm cp SRC NAME:DST (in the SDK: vm.files.upload)",
    },
  );
}

function failed(message: string): SmolVMError {
  return new SmolVMError("MOUNT_FAILED", message, { hint: "See what is mounted: smolvm mount NAME" });
}

/** What it said last: the log goes with a sandbox that does not start. */
function lastWords(log: string): string {
  try {
    return lastLines(readFileSync(log, "utf8"), 1, 300) || "it said nothing";
  } catch {
    return "it said nothing";
  }
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string | undefined> {
  for await (const line of createInterface({ input: stream })) return line;
  return undefined;
}

function parseAnswer(text: string): Answer | undefined {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === "object" && answer !== null ? (answer as Answer) : undefined;
  } catch {
    return undefined;
  }
}
