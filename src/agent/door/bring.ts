import { connect, type Socket } from "node:net";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { checkNames } from "../../util/check-names.ts";
import { mayBeHost } from "../../util/host-name.ts";
import { resetConnection } from "../../util/reset-connection.ts";
import { shown } from "../../util/shown.ts";
import { carryOver, checkPort } from "../forward/forward.ts";
import type { AgentSession } from "../session/session.ts";
import { serveKnocks } from "./knocks.ts";

/** Where a port of the guest's loopback leads. */
export interface BringTarget {
  /** name or address, as this host knows it; default 127.0.0.1 */
  readonly host?: string | undefined;
  /** 1 to 65,535 */
  readonly port: number;
}

/** A port of the guest's loopback that leads to one service of this host's, or of its network's. */
export interface BroughtPort {
  readonly guestPort: number;
  readonly host: string;
  readonly port: number;
  /** resolves when nobody listens there any more: it was closed, the sandbox has stopped, or the session with it was lost; never rejects */
  readonly ended: Promise<void>;
  /** Nobody listens there any more, and all its connections are reset. */
  close(): void;
}

/** Connections through one port at once; what is more is reset. */
const MAX_OPEN = 256;
/** How much a guest may send ahead on each, in bytes. */
const WINDOW: number = 256 * 1024;

/**
 * Refuses ports and a target that are none.
 * @throws SmolVMError CONFIG_INVALID
 */
export function checkBrought(guestPort: number, target: BringTarget): void {
  checkPort(guestPort, "the guest port");
  checkNames(target, ["host", "port"]);
  const { host, port } = target;
  checkPort(port, "port");
  if (host === undefined || (typeof host === "string" && mayBeHost(host))) return;
  throw new SmolVMError("CONFIG_INVALID", `host ${shown(host)} is neither a name nor an address`, {
    details: { option: "host" },
  });
}

/**
 * Has the guest's agent listen on a port of the guest's 127.0.0.1, and connects each who comes there to the target, and to nothing else. It ends with the
 * session. Keeps neither that nor this process.
 * @param guestPort as the target, looked at before ({@link checkBrought}, or the sandbox's options)
 * @throws SmolVMError PORT_IN_USE if a program of the guest's listens there, NOT_SUPPORTED by an older agent, VM_BUSY (64 are there), TIMEOUT, AGENT_LOST
 */
export async function bring(
  session: AgentSession,
  guestPort: number,
  { host = "127.0.0.1", port }: BringTarget,
): Promise<BroughtPort> {
  const open = new Set<Socket>();
  const what = `bringing ${host}:${port} to port ${guestPort} of the sandbox`;
  const served = await serveKnocks(
    session,
    { open: { bring: { port: guestPort } }, ahead: false, what },
    (knock) => {
      if (open.size >= MAX_OPEN) return knock.refuse();
      const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
      let isConnected = false;
      open.add(socket);
      socket.on("error", () => {}); // its close tells
      socket.once("connect", () => {
        isConnected = true;
        void carryOver(socket, () => knock.accept(WINDOW));
      });
      socket.once("close", () => {
        open.delete(socket);
        if (!isConnected) knock.refuse();
      });
    },
  ).catch((error) => {
    if (!isSmolVMError(error, "FILE_EXISTS")) throw error;
    throw new SmolVMError("PORT_IN_USE", `a program of the sandbox listens on port ${guestPort} already`, {
      hint: "Choose another port of the sandbox.",
      details: { guestPort },
    });
  });
  return {
    guestPort,
    host,
    port,
    ended: served.ended.then(() => undefined),
    close: () => {
      served.close();
      for (const socket of open) resetConnection(socket);
    },
  };
}
