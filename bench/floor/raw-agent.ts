/**
 * The floor: the least that this design can do. It spawns the same VMM with the same kernel, agent and image, and talks
 * to the agent with nothing of ours in between. So this file imports nothing from src/ and does no more than it must:
 * one hello, one command at a time, no flow control beyond one huge window, no checks of what the guest says.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, rmSync } from "node:fs";
import { createConnection, type Socket } from "node:net";

const MAGIC = Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff]), Buffer.from("smolvm-agent")]);
const HELLO = 1;
const OPEN = 3;
const DATA = 5;
const WINDOW = 6;
const END = 7;
const RESULT = 9;

function frame(type: number, stream: number, payload: Buffer, flags = 0): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt32LE(payload.length, 0);
  header.writeUInt32LE(stream, 4);
  header[8] = type;
  header[9] = flags;
  return Buffer.concat([header, payload]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  while (value > 127) {
    bytes.push((value & 127) | 128);
    value = Math.floor(value / 128);
  }
  bytes.push(value);
  return Buffer.from(bytes);
}
const bytesField = (n: number, value: Buffer): Buffer =>
  Buffer.concat([varint(n * 8 + 2), varint(value.length), value]);
const numberField = (n: number, value: number): Buffer => Buffer.concat([varint(n * 8), varint(value)]);

/** A raw session with the agent. */
export class RawAgent {
  #socket: Socket;
  #stream = -1;
  #buffer: Buffer = Buffer.alloc(0);
  #onFrame: (type: number, flags: number, payload: Buffer) => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  /** Connects and exchanges hellos; again where the VMM answers before its guest listens. */
  static async connect(path: string, greeting = ""): Promise<RawAgent> {
    for (;;) {
      const socket = await connectWhenThere(path);
      if (await greeted(socket, greeting)) return new RawAgent(socket);
      socket.destroy();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  #read(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    let at = 0;
    while (this.#buffer.length - at >= 12) {
      const length = this.#buffer.readUInt32LE(at);
      if (this.#buffer.length - at < 12 + length) break;
      this.#onFrame(
        this.#buffer[at + 8]!,
        this.#buffer[at + 9]!,
        this.#buffer.subarray(at + 12, at + 12 + length),
      );
      at += 12 + length;
    }
    this.#buffer = this.#buffer.subarray(at);
  }

  /** Runs `/bin/sh -c command`; resolves with its stdout (or only its length) when the RESULT is there. */
  run(
    command: string,
    options: { stdin?: Buffer; times?: number; keep?: boolean } = {},
  ): Promise<{ text: string; bytes: number }> {
    this.#stream += 2;
    const stream = this.#stream;
    const exec = Buffer.concat([bytesField(2, Buffer.from(command)), numberField(8, options.stdin ? 1 : 0)]);
    this.#socket.write(
      frame(OPEN, stream, Buffer.concat([bytesField(1, exec), numberField(30, 16 * 1024 * 1024)])),
    );
    let credit = 65536;
    let left = options.stdin ? options.stdin.length * (options.times ?? 1) : 0;
    const pump = (): void => {
      while (left > 0 && credit > 0) {
        const chunk = options.stdin!.subarray(0, Math.min(left, credit, 65536));
        this.#socket.write(frame(DATA, stream, chunk));
        left -= chunk.length;
        credit -= chunk.length;
        if (left === 0) this.#socket.write(frame(END, stream, Buffer.alloc(0)));
      }
    };
    return new Promise((resolve) => {
      let bytes = 0;
      let ungranted = 0;
      const kept: Buffer[] = [];
      this.#onFrame = (type, flags, payload) => {
        if (type === DATA) {
          bytes += payload.length;
          ungranted += payload.length;
          if (options.keep !== false) kept.push(Buffer.from(payload));
          if (ungranted > 4 * 1024 * 1024) {
            const grant = Buffer.alloc(4);
            grant.writeUInt32LE(ungranted);
            this.#socket.write(frame(WINDOW, stream, grant, flags));
            ungranted = 0;
          }
        } else if (type === WINDOW) {
          credit += payload.readUInt32LE(0);
          pump();
        } else if (type === RESULT) resolve({ text: Buffer.concat(kept).toString(), bytes });
      };
      pump();
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Exchanges hellos; false: the other end closed first. */
function greeted(socket: Socket, greeting: string): Promise<boolean> {
  const nonce = randomBytes(16);
  const hello = Buffer.concat([numberField(1, 1), numberField(2, 1), bytesField(3, nonce)]);
  socket.write(Buffer.concat([Buffer.from(greeting), MAGIC, frame(HELLO, 0, hello)]));
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const at = seen.indexOf(MAGIC);
      if (at < 0 || seen.length < at + 28 || seen.length < at + 28 + seen.readUInt32LE(at + 16)) return;
      socket.off("data", onData);
      resolve(true);
    };
    socket.on("data", onData);
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}

/** Connects as soon as the socket is there. A tight loop: it costs CPU, and nothing is faster. */
export async function connectWhenThere(path: string): Promise<Socket> {
  for (;;) {
    if (existsSync(path)) {
      const socket = createConnection(path);
      try {
        await once(socket, "connect");
        return socket;
      } catch {
        socket.destroy(); // bound, but not listening yet
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Spawns the VMM and resolves with the first output of a command, and the process to kill. */
export async function coldStart(
  argv: readonly string[],
  socketPath: string,
  greeting = "",
): Promise<{ text: string; vmm: ChildProcess }> {
  rmSync(socketPath, { force: true }); // a former machine's
  // A session of its own, as ours have: Linux divides the processor among sessions first.
  const vmm = spawn(argv[0]!, argv.slice(1), { stdio: "ignore", detached: true });
  const agent = await RawAgent.connect(socketPath, greeting);
  const { text } = await agent.run("echo hi");
  agent.close();
  return { text, vmm };
}
