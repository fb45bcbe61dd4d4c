import { type Duplex, Transform } from "node:stream";
import { plainName } from "../config/network-rules.ts";
import { MAX_HELLO, readClientHello } from "./client-hello.ts";
import { type RequestFault, RequestGuard, RequestRefused } from "./request-guard.ts";

/** Why what came on port 443 is not passed on. */
export type HelloFault =
  /** it does not begin as TLS does */
  | "not-tls"
  /** it does not say which server it wants */
  | "no-server-name"
  /** it wants another server than the connection is to */
  | "other-server-name"
  /** it took too long to say so */
  | "too-slow";

/** How long a client may take to begin TLS, in ms. */
const HELLO_MS = 30_000;

/** Ports on which a connection must say to whom it is: TLS, and HTTP. */
export const TLS_PORT = 443;
export const HTTP_PORT = 80;

/** Waits for the ClientHello of a connection, which is to be for a name, and leaves all of it to be read. Returns what is wrong with it, if something is. */
export async function awaitHello(guest: Duplex, name: string): Promise<HelloFault | undefined> {
  let bytes: Buffer = Buffer.alloc(0);
  const deadline = Date.now() + HELLO_MS;
  for (;;) {
    const step = readClientHello(bytes);
    if (step.kind === "hello") {
      guest.unshift(bytes);
      if (step.serverName === undefined) return "no-server-name";
      return plainName(step.serverName) === name ? undefined : "other-server-name";
    }
    if (step.kind === "none" || bytes.length > MAX_HELLO) return "not-tls";
    const chunk = await nextChunk(guest, deadline - Date.now());
    if (chunk === "late") return "too-slow";
    if (chunk === undefined) return "not-tls";
    bytes = Buffer.concat([bytes, chunk]);
  }
}

/** The next bytes, undefined at the end. */
function nextChunk(stream: Duplex, waitMs: number): Promise<Buffer | "late" | undefined> {
  return new Promise((resolve) => {
    const done = (value: Buffer | "late" | undefined): void => {
      clearTimeout(timer);
      stream.off("readable", look);
      stream.off("end", gone);
      stream.off("close", gone);
      resolve(value);
    };
    const look = (): void => {
      const chunk = stream.read() as Buffer | null;
      if (chunk !== null) done(chunk);
    };
    const gone = (): void => done(undefined);
    const timer = setTimeout(() => done("late"), waitMs);
    timer.unref();
    stream.on("readable", look);
    stream.on("end", gone);
    stream.on("close", gone);
    if (stream.readableEnded || stream.destroyed) gone();
  });
}

/** What stands in both ways of a connection to port 80. */
export interface HttpGuard {
  readonly up: Transform;
  readonly down: Transform;
}

/**
 * Looks at every request on its way.
 * @param refused told once, before anything of the bad request is passed on; the streams carry nothing any more then
 */
export function guardRequests(name: string, refused: (fault: RequestFault) => void): HttpGuard {
  const guard = new RequestGuard(name);
  const look = (step: () => Buffer, pass: (bytes: Buffer) => void, done: () => void): void => {
    try {
      const bytes = step();
      if (bytes.length > 0) pass(bytes);
      done();
    } catch (error) {
      if (!(error instanceof RequestRefused)) throw error;
      refused(error.fault); // and `done` is never called: nothing follows
    }
  };
  const up = new Transform({
    transform: (chunk, _encoding, done) =>
      look(
        () => guard.push(chunk),
        (bytes) => up.push(bytes),
        done,
      ),
  });
  const down = new Transform({
    transform: (chunk, _encoding, done) =>
      look(
        () => guard.answered(chunk),
        (bytes) => up.push(bytes),
        () => done(null, chunk),
      ),
  });
  return { up, down };
}
