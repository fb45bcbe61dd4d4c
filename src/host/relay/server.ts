import { createServer, type Server, type Socket } from "node:net";
import { readLine } from "../../util/read-line.ts";
import { newPipeName } from "./local-socket.ts";
import { isProof, MAX_LINE_BYTES, newNonce, parseOpening, proof } from "./proof.ts";

/** Connections that have not proved anything yet: more than these, and the oldest goes. */
const MAX_STRANGERS = 32;
/** How long one may be a stranger. */
const STRANGER_MS = 5_000;
/** Of those who may, so many wait for a socket that another one has. */
const MAX_WAITING = 64;

/** Where a relay listens. */
export type RelayAddress = { readonly port: number } | { readonly pipe: string };

/** One of the machine's sockets: serves one client at a time, as QEMU does with a Unix socket. */
export interface Leg {
  /** a client has it from now on; `over` is called when it has gone */
  attach(client: Socket, over: () => void): void;
}

/**
 * Where a machine's sockets are loopback TCP, any user of the host can connect. So only this relay listens, on Windows on a named pipe,
 * which the system opens to its user alone for writing, and lets those through who prove that they know the token (proof.ts). Others learn
 * nothing, get nothing, and hold nobody up: they are few at a time and not for long.
 */
export class RelayServer {
  readonly #token: string;
  readonly #legs: ReadonlyMap<string, LegQueue>;
  readonly #strangers = new Set<Socket>();
  readonly #server: Server;

  constructor(token: string, legs: ReadonlyMap<string, Leg>) {
    this.#token = token;
    this.#legs = new Map([...legs].map(([name, leg]) => [name, new LegQueue(leg)]));
    this.#server = createServer((socket) => this.#meet(socket));
  }

  /** Listens where nobody else does, and returns where that is: on Windows a named pipe, else a free port of 127.0.0.1. */
  async listen(): Promise<RelayAddress> {
    if (process.platform !== "win32") return { port: await listenOnLoopback(this.#server) };
    const pipe = newPipeName();
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(pipe, resolve);
    });
    return { pipe };
  }

  #meet(socket: Socket): void {
    socket.on("error", () => {}); // "close" follows
    socket.setNoDelay(true);
    this.#strangers.add(socket);
    if (this.#strangers.size > MAX_STRANGERS)
      for (const oldest of this.#strangers) {
        oldest.destroy();
        break;
      }
    const timer = setTimeout(() => socket.destroy(), STRANGER_MS);
    socket.once("close", () => this.#strangers.delete(socket));
    this.#hear(socket)
      .then((leg) => {
        this.#strangers.delete(socket);
        if (leg === undefined || !leg.add(socket)) socket.destroy();
      })
      .catch(() => socket.destroy())
      .finally(() => clearTimeout(timer));
  }

  /** The leg that the other end may have, if it proves that. */
  async #hear(socket: Socket): Promise<LegQueue | undefined> {
    const opening = parseOpening(await this.#line(socket));
    if (opening === undefined) return undefined;
    const { name, nonce } = opening;
    const mine = newNonce();
    socket.write(`${proof(this.#token, "relay", name, nonce)} ${mine}\n`);
    const known = isProof(await this.#line(socket), proof(this.#token, "client", name, mine));
    return known ? this.#legs.get(name) : undefined;
  }

  async #line(socket: Socket): Promise<string> {
    return (await readLine(socket, MAX_LINE_BYTES)).toString("latin1");
  }
}

class LegQueue {
  readonly #leg: Leg;
  readonly #waiting: Socket[] = [];
  #busy = false;

  constructor(leg: Leg) {
    this.#leg = leg;
  }

  add(client: Socket): boolean {
    if (this.#waiting.length >= MAX_WAITING) return false;
    this.#waiting.push(client);
    this.#next();
    return true;
  }

  #next(): void {
    if (this.#busy) return;
    let client = this.#waiting.shift();
    while (client?.destroyed) client = this.#waiting.shift();
    if (client === undefined) return;
    this.#busy = true;
    this.#leg.attach(client, () => {
      this.#busy = false;
      this.#next();
    });
  }
}

/**
 * What a session's end looks like to the guest's agent, which does not see clients come and go here: more zeros than any
 * frame has bytes, an invalid frame wherever they begin (PROTOCOL.md, section 1).
 */
const SESSION_END = Buffer.alloc(12 + 65_536);

/** A port of the agent's channel. While nobody has it, what the guest says is thrown away. */
export class ChannelLeg implements Leg {
  readonly #machine: Socket;

  constructor(machine: Socket) {
    this.#machine = machine;
    machine.resume();
  }

  attach(client: Socket, over: () => void): void {
    const machine = this.#machine;
    machine.pipe(client, { end: false });
    client.pipe(machine, { end: false });
    // The machine's end is the client's.
    const end = (): void => {
      client.destroy();
    };
    machine.once("close", end);
    client.once("close", () => {
      machine.off("close", end);
      client.unpipe(machine);
      machine.unpipe(client);
      machine.resume();
      if (!machine.destroyed) machine.write(SESSION_END);
      over();
    });
  }
}

/** Listens on a free port of 127.0.0.1, which nobody else shares. */
export function listenOnLoopback(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host: "127.0.0.1", port: 0, exclusive: true }, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}
