import { createConnection, type Socket } from "node:net";
import { SmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { type BusMessage, decodeMessage } from "./dbus-codec.ts";

/** A manager answers within some milliseconds; on a busy host, or one that is emulated, within hundreds. */
export const ANSWER_MS = 2_000;

/**
 * One conversation with a systemd manager, on the socket that systemctl and systemd-run use as well: no bus is in between, and
 * what happens to units is told without asking (https://www.freedesktop.org/software/systemd/man/latest/org.freedesktop.systemd1.html).
 */
export class ManagerClient {
  readonly #socket: Socket;
  #rest: Uint8Array = new Uint8Array();
  #welcomed = false;
  #serial = 0;
  /** what has come and nobody has taken yet */
  #messages: BusMessage[] = [];
  #ended: SmolVMError | undefined;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("error", (error) => this.#end(error));
    socket.on("close", () => this.#end());
  }

  /**
   * Connects, as this process's user.
   * @throws SmolVMError HOST_FAILED (nobody listens, or we are refused), TIMEOUT (nobody answers)
   */
  static async connect(path: string): Promise<ManagerClient> {
    const deadline = Deadline.within(ANSWER_MS, "asking systemd");
    const client = new ManagerClient(createConnection({ path }));
    const user = Buffer.from(String(process.geteuid?.() ?? "")).toString("hex");
    client.#socket.write(`\0AUTH EXTERNAL ${user}\r\nBEGIN\r\n`);
    try {
      await client.#until(() => client.#welcomed || undefined, deadline);
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  /**
   * Calls a method and waits for its answer, an error also being one.
   * @throws SmolVMError HOST_FAILED (the connection ended), TIMEOUT, ABORTED
   */
  async call(encode: (serial: number) => Uint8Array, deadline: Deadline): Promise<BusMessage> {
    const serial = ++this.#serial;
    this.#socket.write(encode(serial));
    return await this.take(({ replyTo }) => replyTo === serial, deadline);
  }

  /**
   * Waits for a message and takes it; all that came before it are forgotten.
   * @throws SmolVMError HOST_FAILED (the connection ended), TIMEOUT, ABORTED
   */
  async take(wanted: (message: BusMessage) => boolean, deadline: Deadline): Promise<BusMessage> {
    return await this.#until(() => {
      const found = this.#messages.findIndex(wanted);
      return found < 0 ? undefined : this.#messages.splice(0, found + 1).at(-1);
    }, deadline);
  }

  close(): void {
    this.#socket.destroy();
  }

  async #until<T>(look: () => T | undefined, deadline: Deadline): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.#ended !== undefined) throw this.#ended;
      await deadline.race(
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      );
    }
  }

  #receive(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    try {
      if (!this.#welcomed) this.#readWelcome();
      while (this.#welcomed) {
        const decoded = decodeMessage(this.#rest);
        if (decoded === undefined) break;
        this.#rest = this.#rest.subarray(decoded.length);
        this.#messages.push(decoded.message);
      }
      this.#wake();
    } catch (error) {
      this.#end(error as Error);
    }
  }

  /** One line: OK, or why not. */
  #readWelcome(): void {
    const end = this.#rest.indexOf("\n".charCodeAt(0));
    if (end < 0) return;
    const line = Buffer.from(this.#rest.subarray(0, end)).toString().trim();
    if (!line.startsWith("OK ")) throw new Error(`it said '${line.slice(0, 200)}'`);
    this.#rest = this.#rest.subarray(end + 1);
    this.#welcomed = true;
  }

  #end(cause?: Error): void {
    this.#ended ??= new SmolVMError(
      "HOST_FAILED",
      `systemd ended the conversation${cause === undefined ? "" : `: ${cause.message}`}`,
      { cause },
    );
    this.#socket.destroy();
    this.#wake();
  }
}
