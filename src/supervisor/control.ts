import { createServer, type Server, type Socket } from "node:net";
import { isSmolVMError } from "../errors.ts";
import {
  encodeLine,
  MAX_LINE_BYTES,
  parseRequest,
  type SupervisorReply,
  type SupervisorRequest,
} from "../vm/supervisor/messages.ts";

/** What the control socket's requests are given to. */
export interface ControlHandler {
  /** answers a request */
  answer(request: Exclude<SupervisorRequest, { op: "relay" }>): Promise<SupervisorReply>;
  /** takes over a connection on which a session follows; `rest` is what was read already. Resolves when it is over */
  relay(vm: string, socket: Socket, rest: Buffer): Promise<void>;
}

/** How long a client may take to say what it wants, in ms. */
const REQUEST_MS = 5_000;

/**
 * Listens on the control socket (its directory is private to the user, so whoever connects is him).
 * @throws the error of listening
 */
export function listenForRequests(path: string, handler: ControlHandler): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    void serve(socket, handler).catch(() => socket.destroy());
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => resolve(server));
  });
}

async function serve(socket: Socket, handler: ControlHandler): Promise<void> {
  const { line, rest } = await readLine(socket);
  const request = parseRequest(line);
  if (request === undefined) {
    socket.end(encodeLine(failure(new Error("the request is not understood"))));
  } else if (request.op === "relay") {
    await handler.relay(request.vm, socket, rest);
  } else {
    socket.end(encodeLine(await handler.answer(request).catch(failure)));
  }
}

/** The first line of a connection, which is then paused. */
function readLine(socket: Socket): Promise<{ line: string; rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0);
    socket.setTimeout(REQUEST_MS, () => socket.destroy());
    socket.once("close", () => reject(new Error("the client hung up")));
    socket.on("data", function read(chunk: Buffer) {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf(0x0a);
      if (end < 0) {
        if (bytes.length > MAX_LINE_BYTES) socket.destroy();
        return;
      }
      socket.off("data", read);
      socket.pause();
      socket.setTimeout(0);
      resolve({ line: bytes.toString("utf8", 0, end), rest: bytes.subarray(end + 1) });
    });
  });
}

function failure(error: unknown): SupervisorReply {
  if (!isSmolVMError(error)) {
    return { ok: false, error: { code: "INTERNAL", message: (error as Error).message } };
  }
  const { code, message, hint, details } = error;
  return { ok: false, error: { code, message, hint, details } };
}
