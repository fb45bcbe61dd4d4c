import { createServer, type Server, type Socket } from "node:net";
import { isSmolVMError } from "../errors.ts";
import { listenLocally } from "../host/relay/local-socket.ts";
import { readLine } from "../util/read-line.ts";
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
  /** takes over a connection, paused, on which a session follows. Resolves when it is over */
  relay(vm: string, socket: Socket): Promise<void>;
}

/** How long a client may take to say what it wants, in ms. */
const REQUEST_MS = 5_000;

/**
 * Listens on the control socket (its directory is private to the user, so whoever connects is him).
 * @throws the error of listening
 */
export async function listenForRequests(path: string, handler: ControlHandler): Promise<Server> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    void serve(socket, handler).catch(() => socket.destroy());
  });
  await listenLocally(server, path);
  return server;
}

async function serve(socket: Socket, handler: ControlHandler): Promise<void> {
  socket.setTimeout(REQUEST_MS, () => socket.destroy());
  const line = await readLine(socket, MAX_LINE_BYTES);
  socket.setTimeout(0);
  const request = parseRequest(line.toString("utf8"));
  if (request === undefined) {
    socket.end(encodeLine(failure(new Error("the request is not understood"))));
  } else if (request.op === "relay") {
    await handler.relay(request.vm, socket);
  } else {
    socket.end(encodeLine(await handler.answer(request).catch(failure)));
  }
}

function failure(error: unknown): SupervisorReply {
  if (!isSmolVMError(error)) {
    return { ok: false, error: { code: "INTERNAL", message: (error as Error).message } };
  }
  const { code, message, hint, details } = error;
  return { ok: false, error: { code, message, hint, details } };
}
