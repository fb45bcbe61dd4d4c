import { connect } from "node:net";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
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
  const socket = connect({ path: socketPath });
  try {
    return readReply(
      await deadline.race(
        new Promise<string>((resolve, reject) => {
          let text = "";
          const fail = (): void => reject(nobody(socketPath));
          socket.setEncoding("utf8");
          socket.on("data", (piece: string) => {
            text += piece;
            const end = text.indexOf("\n");
            if (end >= 0) resolve(text.slice(0, end));
            else if (text.length > MAX_LINE_BYTES) fail();
          });
          socket.once("error", fail);
          socket.once("close", fail);
          socket.write(encodeLine(request));
        }),
      ),
    );
  } finally {
    socket.destroy();
  }
}

function nobody(socketPath: string): SmolVMError {
  return new SmolVMError("AGENT_LOST", "the supervisor does not answer", { details: { socketPath } });
}
