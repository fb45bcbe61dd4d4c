import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { SmolVMError } from "../errors.ts";
import type { Deadline } from "../util/deadline.ts";

/** Between looks for a socket that a VMM is about to make: it takes some ms. */
const RETRY_MS = 1;

/**
 * Connects to a socket as soon as a VMM listens there. Who calls gives up when the VMM ends.
 * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED
 */
export async function dialWhenThere(path: string, deadline: Deadline): Promise<Socket> {
  for (;;) {
    deadline.check();
    if (existsSync(path)) {
      const socket = await deadline.race(dial(path, deadline.signal));
      if (socket !== undefined) return socket;
    }
    await deadline.sleep(RETRY_MS);
  }
}

/** Undefined: nobody listens there, or not yet, or as many wait as may. */
function dial(path: string, signal: AbortSignal): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    // The signal is of the whole operation, and its end is the caller's to tell: left to `connect`, it would end what is connected, with an error that is nobody's.
    const giveUp = (): void => {
      socket.destroy();
      resolve(undefined);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", giveUp));
    socket.once("connect", () => {
      signal.removeEventListener("abort", giveUp);
      resolve(socket.removeAllListeners("error"));
    });
    socket.once("error", (cause: NodeJS.ErrnoException) => {
      if (["ENOENT", "ECONNREFUSED", "EAGAIN"].includes(cause.code ?? "")) resolve(undefined);
      else
        reject(
          new SmolVMError("VMM_FAILED", `the VMM's socket does not answer: ${cause.message}`, { cause }),
        );
    });
  });
}
