import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { isProof, MAX_LINE_BYTES, newNonce, proof } from "./proof.ts";

/** How long the relay may take to prove itself: it is a process of this machine. */
const PROOF_MS = 10_000;

/** What the relay of a machine has written down for those who may reach it. */
export interface RelayNote {
  readonly port: number;
  /** 64 hex digits */
  readonly token: string;
}

/**
 * Connects to one of a machine's sockets through its relay (relay/server.ts), which knows this user by the token in the
 * note. Nothing is said to who cannot prove to be the relay.
 * @param path the note; ENOENT while the machine is not there yet
 * @param name "ctl", or "ch0", "ch1" ...
 */
export async function dialRelay(path: string, name: string, signal?: AbortSignal): Promise<Socket> {
  const { port, token } = JSON.parse(readFileSync(path, "utf8")) as RelayNote;
  const socket = connect({ host: "127.0.0.1", port, noDelay: true });
  const limit = AbortSignal.timeout(PROOF_MS);
  const stop = (): void => {
    socket.destroy(new Error("given up"));
  };
  signal?.addEventListener("abort", stop, { once: true });
  limit.addEventListener("abort", stop, { once: true });
  try {
    const nonce = newNonce();
    socket.write(`${name} ${nonce}\n`);
    const [said, theirs] = (await readLine(socket)).split(" ");
    if (theirs === undefined || !isProof(said ?? "", proof(token, "relay", name, nonce)))
      throw hungUp("somebody else has the port of the machine's relay");
    socket.write(`${proof(token, "client", name, theirs)}\n`);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
    limit.removeEventListener("abort", stop);
  }
}

/** The next line. What came behind it is left in the socket, which is paused. */
export function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let got = Buffer.alloc(0);
    const settle = (): void => {
      socket.off("data", onData).off("error", onError).off("close", onClose);
      socket.pause();
    };
    const onData = (chunk: Buffer): void => {
      got = Buffer.concat([got, chunk]);
      const end = got.indexOf(0x0a);
      if (end < 0 && got.length <= MAX_LINE_BYTES) return;
      settle();
      if (end < 0 || end > MAX_LINE_BYTES) {
        reject(hungUp("the line is too long"));
        return;
      }
      if (got.length > end + 1) socket.unshift(got.subarray(end + 1));
      resolve(got.toString("latin1", 0, end));
    };
    const onError = (error: Error): void => {
      settle();
      reject(error);
    };
    const onClose = (): void => {
      settle();
      reject(hungUp("the other end hung up"));
    };
    socket.on("data", onData).on("error", onError).on("close", onClose).resume();
  });
}

/** As the system reports it: whoever connects tries again. */
function hungUp(message: string): Error {
  return Object.assign(new Error(message), { code: "ECONNRESET" });
}
