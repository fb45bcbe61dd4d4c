import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import type { Leg } from "./server.ts";

/** A line of QMP may be so long, in either direction; longer ones end the client, or are not passed on. */
const MAX_LINE_CHARS = 16 * 1024 * 1024;

type Message = Record<string, unknown>;

/**
 * QMP on the machine's own stdin and stdout, which nobody else can reach, shared by one client after the other. Each finds
 * what a fresh control socket shows: the greeting, then capabilities to be negotiated. Answers go to who asked.
 */
export class ControlLeg implements Leg {
  readonly #stdin: Writable;
  readonly #asked = new Map<string, (answer: Message) => void>();
  readonly #waiting: string[] = [];
  readonly #greeted: Promise<Message>;
  #greeting: Message = {};
  #client: Socket | undefined;
  #nextId = 0;

  constructor(stdin: Writable, stdout: Readable) {
    this.#stdin = stdin;
    stdin.on("error", () => {}); // the machine ended: its exit is told elsewhere
    let greeted: (greeting: Message) => void = () => {};
    this.#greeted = new Promise((resolve) => {
      greeted = resolve;
    });
    onLines(stdout, (line) => {
      const message = parse(line);
      if (message === undefined) return;
      if ("QMP" in message) {
        this.#greeting = message;
        greeted(message);
      } else if (typeof message.id === "string") {
        const answered = this.#asked.get(message.id);
        this.#asked.delete(message.id);
        this.#next();
        answered?.(message);
      } else this.#say(message);
    });
  }

  /** Waits for the greeting and negotiates: everything on the machine's command line has been set up then. */
  async begin(): Promise<void> {
    await this.#greeted;
    await this.execute("qmp_capabilities");
  }

  execute(command: string): Promise<Message> {
    return new Promise((resolve) => this.#ask({ execute: command }, resolve));
  }

  attach(client: Socket, over: () => void): void {
    this.#client = client;
    this.#say(this.#greeting);
    const stop = onLines(client, (line) => {
      const message = parse(line);
      if (message === undefined) return client.destroy();
      const { id } = message;
      if (message.execute === "qmp_capabilities") return this.#say({ return: {}, id });
      this.#ask(message, (answer) => {
        if (this.#client === client) this.#say({ ...answer, id });
      });
    });
    client.once("close", () => {
      stop();
      this.#client = undefined;
      over();
    });
  }

  #ask(message: Message, answered: (answer: Message) => void): void {
    const id = `relay-${this.#nextId++}`;
    this.#asked.set(id, answered);
    this.#waiting.push(`${JSON.stringify({ ...message, id })}\n`);
    // One at a time: a QEMU for Windows loses what comes on its stdin while it is busy with a command (chardev/char-win-stdio.c).
    if (this.#asked.size === 1) this.#next();
  }

  #next(): void {
    const command = this.#waiting.shift();
    if (command !== undefined) this.#stdin.write(command);
  }

  #say(message: Message): void {
    this.#client?.write(`${JSON.stringify(message)}\r\n`);
  }
}

/** The local port of each of QEMU's connections, by the character device's name, as `query-chardev` tells it. Pure. */
export function chardevPorts(answer: Record<string, unknown>): Map<string, number> {
  const ports = new Map<string, number>();
  const list = Array.isArray(answer.return) ? (answer.return as Message[]) : [];
  for (const { label, filename } of list) {
    // "tcp:127.0.0.1:LOCAL <-> 127.0.0.1:REMOTE"
    const local = /^tcp:127\.0\.0\.1:(\d{1,5}) <-> 127\.0\.0\.1:\d{1,5}$/.exec(String(filename))?.[1];
    if (local !== undefined) ports.set(String(label), Number(local));
  }
  return ports;
}

function parse(line: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Message) : undefined;
  } catch {
    return undefined;
  }
}

/** Calls back for each line that is not empty. Returns how to stop. */
function onLines(stream: Readable, onLine: (line: string) => void): () => void {
  let rest = "";
  stream.setEncoding("utf8");
  const onData = (chunk: string): void => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_CHARS) stream.destroy();
    for (const line of lines) if (line.trim() !== "") onLine(line);
  };
  stream.on("data", onData).resume();
  return () => stream.off("data", onData);
}
