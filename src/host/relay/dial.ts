import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { hungUp, readLine } from "../../util/read-line.ts";
import { isProof, MAX_LINE_BYTES, newNonce, proof } from "./proof.ts";
import type { RelayAddress } from "./server.ts";

/** How long the relay may take to prove itself: it is a process of this machine. */
const PROOF_MS = 10_000;

/** What the relay of a machine has written down for those who may reach it. */
export type RelayNote = RelayAddress & {
  /** 64 hex digits */
  readonly token: string;
};

/**
 * Connects to one of a machine's sockets through its relay (relay/server.ts), which knows this user by the token in the
 * note. Nothing is said to who cannot prove to be the relay.
 * @param path the note; ENOENT while the machine is not there yet
 * @param name "ctl", or "ch0", "ch1" ...
 */
export async function dialRelay(path: string, name: string, signal?: AbortSignal): Promise<Socket> {
  const { token, ...address } = JSON.parse(readFileSync(path, "utf8")) as RelayNote;
  const socket =
    "pipe" in address
      ? connect({ path: address.pipe })
      : connect({ host: "127.0.0.1", port: address.port, noDelay: true });
  const limit = AbortSignal.timeout(PROOF_MS);
  const stop = (): void => {
    socket.destroy(new Error("given up"));
  };
  signal?.addEventListener("abort", stop, { once: true });
  limit.addEventListener("abort", stop, { once: true });
  try {
    const nonce = newNonce();
    socket.write(`${name} ${nonce}\n`);
    const [said, theirs] = (await readLine(socket, MAX_LINE_BYTES)).toString("latin1").split(" ");
    if (theirs === undefined || !isProof(said ?? "", proof(token, "relay", name, nonce)))
      throw hungUp("somebody else listens in the place of the machine's relay");
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
