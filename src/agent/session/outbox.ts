import type { Socket } from "node:net";

/** DATA waits while more than this is queued for the socket, in bytes: enough to keep it busy, little enough for a quick Ctrl-C. */
const HIGH_WATER = 256 * 1024;
/** Batches up to this size, in bytes, are joined into one write. */
const JOIN_BELOW = 4096;

/**
 * Gathers the frames of one turn of the event loop and hands them to the socket together, so that a command's OPEN, stdin and
 * END leave in one packet. No timers: the batch leaves at the end of the current turn.
 */
export class Outbox {
  #socket: Socket;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;
  #scheduled = false;
  /** bytes given to the socket that are not yet with the kernel */
  #inFlight = 0;
  #waiters: { resolve: () => void; batch: number }[] = [];
  #batches = 0;
  #closed = false;
  #stopped = false;
  /** called when the queue has become short */
  onRoom: () => void = () => {};

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Bytes that are queued here or in the socket. */
  get queuedBytes(): number {
    return this.#batchBytes + this.#inFlight;
  }

  roomy(): boolean {
    return this.queuedBytes < HIGH_WATER;
  }

  write(bytes: Uint8Array): void {
    if (this.#closed) return;
    this.#batch.push(bytes);
    this.#batchBytes += bytes.length;
    if (!this.#scheduled) {
      this.#scheduled = true;
      process.nextTick(() => this.flush());
    }
  }

  /** Resolves when everything written so far is with the kernel, or the socket is closed. */
  flushed(): Promise<void> {
    if (this.#closed || this.queuedBytes === 0) return Promise.resolve();
    const batch = this.#batchBytes > 0 ? this.#batches + 1 : this.#batches;
    return new Promise((resolve) => this.#waiters.push({ resolve, batch }));
  }

  /** Hands the batch over now rather than at the end of the turn. */
  flush(): void {
    this.#scheduled = false;
    if (this.#closed || this.#stopped || this.#batch.length === 0) return;
    const batch = this.#batch;
    const bytes = this.#batchBytes;
    const number = ++this.#batches;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#inFlight += bytes;
    const written = (): void => this.#written(bytes, number);
    if (batch.length === 1) {
      this.#socket.write(batch[0]!, written);
    } else if (bytes <= JOIN_BELOW) {
      this.#socket.write(Buffer.concat(batch, bytes), written);
    } else {
      this.#socket.cork();
      const last = batch.length - 1;
      for (let i = 0; i < last; i++) this.#socket.write(batch[i]!);
      this.#socket.write(batch[last]!, written);
      this.#socket.uncork();
    }
  }

  /** What was written so far leaves now, and nothing else before {@link moveTo}. */
  stop(): void {
    this.flush();
    this.#stopped = true;
  }

  /** What was written meanwhile, and all else, goes to another socket. */
  moveTo(socket: Socket): void {
    this.#socket = socket;
    this.#stopped = false;
    this.flush();
  }

  #written(bytes: number, batch: number): void {
    if (this.#closed) return;
    this.#inFlight -= bytes;
    while (this.#waiters.length > 0 && this.#waiters[0]!.batch <= batch) this.#waiters.shift()!.resolve();
    if (this.roomy()) this.onRoom();
  }

  /** The socket is closed: nothing is sent any more, and nobody waits. */
  close(): void {
    this.#closed = true;
    this.#batch = [];
    this.#batchBytes = 0;
    this.#inFlight = 0;
    for (const waiter of this.#waiters.splice(0)) waiter.resolve();
  }
}
