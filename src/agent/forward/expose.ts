import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { SmolVMError } from "../../errors.ts";
import type { AgentSession } from "../session/session.ts";
import { checkPort, forward } from "./forward.ts";

/** Where a guest port appears on the host. */
export interface ExposeOptions {
  /** default, and 0: any free one */
  hostPort?: number | undefined;
  /** default 127.0.0.1: this machine alone */
  hostAddress?: string | undefined;
}

/** A guest port that is reachable on the host. */
export interface ExposedPort {
  readonly guestPort: number;
  readonly hostPort: number;
  readonly hostAddress: string;
  /** "http://ADDRESS:PORT", whatever the port speaks */
  readonly url: string;
  /** Stops listening and resets all connections. Closing twice is fine. */
  close(): Promise<void>;
}

/** "http://ADDRESS:PORT", whatever the port speaks. Pure. */
export function portUrl(hostAddress: string, hostPort: number): string {
  return `http://${hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress}:${hostPort}`;
}

/**
 * Listens on the host and carries each connection to a port of the guest. A connection that the guest refuses is reset.
 * It keeps the process alive until it is closed.
 *
 * @param session gives the session to carry a connection with
 * @throws SmolVMError PORT_IN_USE, CONFIG_INVALID, HOST_FAILED
 */
export async function expose(
  session: () => Promise<AgentSession>,
  guestPort: number,
  options: ExposeOptions = {},
): Promise<ExposedPort> {
  checkPort(guestPort, "the guest port");
  if (options.hostPort !== undefined && options.hostPort !== 0) checkPort(options.hostPort, "hostPort");
  const hostAddress = options.hostAddress ?? "127.0.0.1";
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    void carry(socket, session, guestPort);
  });
  await listen(server, options.hostPort ?? 0, hostAddress);
  const { port: hostPort } = server.address() as AddressInfo;
  let closing: Promise<void> | undefined;
  return {
    guestPort,
    hostPort,
    hostAddress,
    url: portUrl(hostAddress, hostPort),
    close: () => {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.resetAndDestroy(); // none of them has come to its own end
      });
      return closing;
    },
  };
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, port, address)));
    server.listen(port, address, () => {
      server.removeAllListeners("error");
      server.on("error", () => {}); // a failed accept (no descriptors left) loses that connection alone
      resolve();
    });
  });
}

function listenError(error: NodeJS.ErrnoException, port: number, address: string): SmolVMError {
  const details = { hostPort: port, hostAddress: address, errno: error.code };
  switch (error.code) {
    case "EADDRINUSE":
      return new SmolVMError("PORT_IN_USE", `port ${port} of ${address} is in use on this machine`, {
        hint: "Choose another host port, or leave it out for any free one.",
        details,
        cause: error,
      });
    case "EACCES":
      return new SmolVMError("HOST_FAILED", `this user may not listen on port ${port}`, {
        hint: "Choose a host port of 1024 or above.",
        details,
        cause: error,
      });
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EINVAL":
      return new SmolVMError("CONFIG_INVALID", `'${address}' is not an address of this machine`, {
        details,
        cause: error,
      });
    default:
      return new SmolVMError("HOST_FAILED", `listening on ${address}:${port} failed: ${error.message}`, {
        details,
        cause: error,
      });
  }
}

async function carry(socket: Socket, session: () => Promise<AgentSession>, port: number): Promise<void> {
  socket.on("error", () => socket.destroy());
  try {
    const connection = await forward(await session(), { port });
    connection.on("error", () => {}); // its close tells
    const onClose = (): void => {
      if (socket.readableEnded && connection.readableEnded) return; // what it sent is still on its way
      // A client that has not ended what it sends was cut off, and so is the server.
      connection.destroy(socket.readableEnded ? undefined : new Error("the client is gone"));
    };
    if (socket.destroyed) {
      onClose();
      return;
    }
    connection.once("close", () => {
      if (connection.errored !== null) resetAfterWriting(socket);
      else if (!socket.writableEnded) socket.destroy();
    });
    socket.once("close", onClose);
    // Each direction ends on its own: pipe() passes the end on.
    socket.pipe(connection);
    connection.pipe(socket);
  } catch {
    socket.resetAndDestroy(); // as a refused connection shows once it was accepted; the caller of connect() gets the reason
  }
}

/** Resets a connection behind what was written to it: a reset throws away what has not left yet. */
function resetAfterWriting(socket: Socket): void {
  if (socket.writableLength === 0 || socket.writableEnded) socket.resetAndDestroy();
  else socket.write("", () => socket.resetAndDestroy());
}
