import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import { renameSync } from "../../util/files-go.ts";
import { ControlLeg, chardevPorts } from "./control.ts";
import type { RelayNote } from "./dial.ts";
import { newToken } from "./proof.ts";
import { ChannelLeg, type Leg, listenOnLoopback, RelayServer } from "./server.ts";

/** The character device of the guest's console; those of the channel's ports are channel0, channel1 ... */
const CONSOLE = "console";

/**
 * The machine's side of the relay. QEMU cannot ask who connects to it, so nothing connects to it: it connects to us, for
 * its console and each port of the channel. Which of the connections are QEMU's is what QEMU says itself, on its own stdin
 * and stdout: the local port of each. All others are closed, and nothing was said to them.
 */
export class MachineConnections {
  readonly #server: Server;
  readonly #arrived = new Map<number, Socket>();
  #onArrival: () => void = () => {};

  constructor() {
    this.#server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on("error", () => {}); // "close" follows
      const { remotePort, remoteAddress } = socket;
      if (remotePort === undefined || remoteAddress !== "127.0.0.1") return void socket.destroy();
      this.#arrived.set(remotePort, socket);
      this.#onArrival();
    });
  }

  /** Returns the port for the machine's arguments (placeholder.ts). */
  listen(): Promise<number> {
    return listenOnLoopback(this.#server);
  }

  /**
   * Waits until the machine is set up, joins its connections with a relay, and writes down where that listens.
   * @param onConsole gets what the guest writes to its console
   */
  async serve(
    program: { readonly stdin: Writable; readonly stdout: Readable },
    notePath: string,
    onConsole: (chunk: Buffer) => void,
  ): Promise<void> {
    const control = new ControlLeg(program.stdin, program.stdout);
    await control.begin();
    const ports = chardevPorts(await control.execute("query-chardev"));
    const legs = new Map<string, Leg>([["ctl", control]]);
    for (const [name, port] of ports) {
      const socket = await this.#connection(port);
      socket.setNoDelay(true);
      if (name === CONSOLE) socket.on("data", onConsole).resume();
      else legs.set(name.replace("channel", "ch"), new ChannelLeg(socket));
      this.#arrived.delete(port);
    }
    this.#server.close();
    for (const stranger of this.#arrived.values()) stranger.destroy();
    const token = newToken();
    const note: RelayNote = { ...(await new RelayServer(token, legs).listen()), token };
    writeFileSync(`${notePath}.tmp`, JSON.stringify(note), { mode: 0o600 });
    renameSync(`${notePath}.tmp`, notePath);
  }

  /** The connection from that port: QEMU has made it, so it is here or about to be accepted. */
  async #connection(port: number): Promise<Socket> {
    for (;;) {
      const socket = this.#arrived.get(port);
      if (socket !== undefined) return socket;
      await new Promise<void>((resolve) => {
        this.#onArrival = resolve;
      });
    }
  }
}
