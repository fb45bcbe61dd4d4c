import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { SmolVMError } from "../../errors.ts";
import { requireObject } from "../../util/check-names.ts";
import { isListenAddress } from "../../util/ip-address.ts";
import { resetConnection } from "../../util/reset-connection.ts";
import { shown } from "../../util/shown.ts";
import type { AgentSession } from "../session/session.ts";
import { carryOver, checkPort, forward } from "./forward.ts";

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

const ADDRESSES_HINT =
  "127.0.0.1 is this machine alone, 0.0.0.0 each IPv4 address that it has, :: each address. See which it has: ip address";

/** Throws CONFIG_INVALID unless `address` is one of IPv4 or IPv6: what a name means may change, and be several. */
export function checkHostAddress(address: string): void {
  if (typeof address === "string" && isListenAddress(address)) return;
  throw new SmolVMError("CONFIG_INVALID", `hostAddress ${shown(address)} is not an IP address`, {
    hint: ADDRESSES_HINT,
  });
}

/**
 * Refuses ports and addresses that are none.
 * @throws SmolVMError CONFIG_INVALID
 */
export function checkExposed(guestPort: number, options: ExposeOptions): void {
  const { hostPort, hostAddress } = requireObject(options);
  checkPort(guestPort, "the guest port");
  if (hostPort !== undefined && hostPort !== 0) checkPort(hostPort, "hostPort");
  if (hostAddress !== undefined) checkHostAddress(hostAddress);
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
  checkExposed(guestPort, options);
  const hostAddress = options.hostAddress ?? "127.0.0.1";
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    void carryOver(socket, async () => forward(await session(), { port: guestPort }));
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
        for (const socket of sockets) resetConnection(socket); // none of them has come to its own end
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
    case "EINVAL":
      return new SmolVMError("CONFIG_INVALID", `'${address}' is not an address of this machine`, {
        hint: ADDRESSES_HINT,
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
