import { constants, fstatSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { SmolVMError } from "../../errors.ts";
import { isTerminal } from "../../host/terminal/is-terminal.ts";
import { isNoSpace } from "../../util/no-space.ts";

/** The reader of our stdout or stderr has gone (EPIPE). Not an error to report: the program just ends. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

/** Where bytes for the user go. */
export interface Output {
  readonly isTTY: boolean;
  /** width of the terminal in characters; undefined if it is none, or does not say */
  readonly columns: number | undefined;
  /**
   * Resolves when the bytes have been handed on, so that a slow reader slows the writer down.
   * @throws OutputClosed once the reader has gone
   */
  write(data: Uint8Array | string): Promise<void>;
}

interface Sink {
  write(data: Uint8Array | string, done: (error?: Error | null) => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/**
 * Opens file descriptor 1 or 2 for writing. Node writes to pipes synchronously, so a reader that pauses (`| less`)
 * would stop timers and signals too: `--timeout` could not fire. Making the descriptor itself non-blocking would
 * break other programs that share it. So a pipe is opened once more through /proc, which gives an
 * open file description of our own that may be non-blocking; where that is impossible, Node's stream does.
 */
export function openOutput(fd: 1 | 2): Output {
  return new SinkOutput(fd);
}

function openPipe(fd: 1 | 2): Socket | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    if (!fstatSync(fd).isFIFO()) return undefined;
    const own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
    return new Socket({ fd: own, readable: false, writable: true });
  } catch {
    return undefined; // another user's pipe, or no /proc
  }
}

class SinkOutput implements Output {
  readonly isTTY: boolean;
  readonly #fd: 1 | 2;
  #opened: Sink | undefined;
  #failure: Error | undefined;

  constructor(fd: 1 | 2) {
    this.#fd = fd;
    this.isTTY = isTerminal(fd);
  }

  get columns(): number | undefined {
    if (!this.isTTY) return undefined;
    return (this.#fd === 1 ? process.stdout : process.stderr).columns || undefined;
  }

  /** Opened by the first write: most commands say nothing on stderr. */
  get #sink(): Sink {
    if (this.#opened) return this.#opened;
    this.#opened = openPipe(this.#fd) ?? (this.#fd === 1 ? process.stdout : process.stderr);
    this.#opened.on("error", (error) => {
      this.#failure ??= outputError(error);
    });
    return this.#opened;
  }

  write(data: Uint8Array | string): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (data.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#sink.write(data, (error) => {
        if (!error) return resolve();
        this.#failure ??= outputError(error);
        reject(this.#failure);
      });
    });
  }
}

function outputError(error: Error): Error {
  const code = (error as NodeJS.ErrnoException).code;
  // ERR_STREAM_DESTROYED follows an EPIPE that was already reported; EIO is a terminal that hung up.
  if (code === "EPIPE" || code === "ERR_STREAM_DESTROYED" || code === "EIO") {
    return new OutputClosed("the reader of the output has gone", { cause: error });
  }
  return new SmolVMError(
    isNoSpace(error) ? "NO_SPACE" : "HOST_FAILED",
    `the output cannot be written: ${error.message}`,
    {
      cause: error,
    },
  );
}
