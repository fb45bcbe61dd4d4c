import type { EventReason, NetworkEvent } from "../../egress/event.ts";
import { followLog } from "../../host/logs/follow-log.ts";
import { RotatedLog } from "../../host/logs/rotated-log.ts";
import type { Deadline } from "../../util/deadline.ts";

/** The events that are kept of a sandbox, oldest first. */
export function keptEvents(path: string): NetworkEvent[] {
  const log = new RotatedLog(path);
  try {
    const pieces: Buffer[] = [];
    for (const chunk of log.read()) if (!("missedBytes" in chunk)) pieces.push(Buffer.from(chunk));
    return parseEvents(Buffer.concat(pieces).toString("utf8").split("\n"));
  } finally {
    log.close();
  }
}

/** The events that are kept, and then those that come, until it is over. @throws SmolVMError TIMEOUT, ABORTED */
export async function* followEvents(
  path: string,
  options: { readonly deadline: Deadline; readonly isOver: () => Promise<boolean> },
): AsyncGenerator<NetworkEvent> {
  let rest = "";
  for await (const text of followLog(path, options)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* parseEvents(lines);
  }
}

/** Lines that were cut by a rotation, or a full disk, are left out. */
function parseEvents(lines: readonly string[]): NetworkEvent[] {
  return lines.flatMap((line) => {
    try {
      const { at, decision, name, address, port, rule, reason } = JSON.parse(line) as NetworkEvent;
      if (typeof at !== "number" || typeof decision !== "string") return [];
      return [{ at, decision, name, address, port, rule, reason: reason as EventReason | undefined }];
    } catch {
      return [];
    }
  });
}
