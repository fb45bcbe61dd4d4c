import type { CommandLimits } from "../../config/spec.ts";
import type { Limits } from "./messages.ts";

const MIB = 1024 * 1024;

/** Limits as the protocol has them. Pure. */
export function limitsMessage({ pids, memoryMib }: CommandLimits): Limits {
  return { pids: pids ?? 0, memoryBytes: (memoryMib ?? 0) * MIB };
}

/** Limits as users have them. Pure. */
export function limitsOf(message: Limits | undefined): CommandLimits {
  return {
    ...(message?.pids ? { pids: message.pids } : {}),
    ...(message?.memoryBytes ? { memoryMib: Math.floor(message.memoryBytes / MIB) } : {}),
  };
}
