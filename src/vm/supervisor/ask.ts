import { connect, type Socket } from "node:net";
import { SmolVMError } from "../../errors.ts";
import { localAddress } from "../../host/relay/local-socket.ts";
import type { Deadline } from "../../util/deadline.ts";
import { readLine } from "../../util/read-line.ts";
import {
  encodeLine,
  MAX_LINE_BYTES,
  readReply,
  type SupervisorHello,
  type SupervisorRequest,
} from "./messages.ts";

/**
 * Asks the supervisor on that socket and waits for its answer.
 * @throws SmolVMError what it answers; AGENT_LOST if nobody answers there; TIMEOUT, ABORTED
 */
export async function ask(
  socketPath: string,
  request: Exclude<SupervisorRequest, { op: "relay" }>,
  deadline: Deadline,
): Promise<SupervisorHello> {
  let socket: Socket;
  try {
    socket = connect({ path: localAddress(socketPath) });
  } catch {
    throw nobody(socketPath);
  }
  socket.on("error", () => {}); // the read tells
  try {
    socket.write(encodeLine(request));
    const line = readLine(socket, MAX_LINE_BYTES).catch(() => {
      throw nobody(socketPath);
    });
    return readReply((await deadline.race(line)).toString("utf8"));
  } finally {
    socket.destroy();
  }
}

/**
 * Tells the supervisor on that socket something whose answer nobody waits for.
 * @returns whether it was said to somebody
 */
export async function tell(
  socketPath: string,
  request: Exclude<SupervisorRequest, { op: "relay" }>,
  deadline: Deadline,
): Promise<boolean> {
  const told = new Promise<boolean>((resolve) => {
    const socket = connect({ path: localAddress(socketPath) });
    socket.on("error", () => resolve(false));
    socket.end(encodeLine(request), () => resolve(true));
    socket.resume(); // its answer may come, and is nothing to wait for
    socket.unref();
  });
  return await deadline.race(told);
}

function nobody(socketPath: string): SmolVMError {
  return new SmolVMError("AGENT_LOST", "the supervisor does not answer", { details: { socketPath } });
}
