import { type ErrorCode, SmolVMError } from "../../errors.ts";

/**
 * What is said to a supervisor: one line of JSON on its socket, answered by one line; after the answer to nothing else
 * but `relay`, which has none: what follows it are the frames of a session with the sandbox's agent.
 */
export type SupervisorRequest =
  /** nothing: tells who answers */
  | { readonly op: "hello" }
  /** something has changed: look at all sandboxes now */
  | { readonly op: "look" }
  /** listen on the ports that lead into a sandbox, which is going to be started */
  | { readonly op: "open"; readonly vm: string }
  /** connect to a sandbox's agent, so that a relay will work */
  | { readonly op: "reach"; readonly vm: string }
  /** carry a session with a sandbox's agent */
  | { readonly op: "relay"; readonly vm: string }
  /** let a newer one take over: finish what others wait for, begin nothing */
  | { readonly op: "retire" };

/** Who answers, in every answer. */
export interface SupervisorHello {
  readonly pid: number;
  /** the package's version */
  readonly version: string;
}

export type SupervisorReply =
  | ({ readonly ok: true } & SupervisorHello)
  | {
      readonly ok: false;
      readonly error: {
        readonly code: ErrorCode;
        readonly message: string;
        readonly hint?: string | undefined;
        readonly details?: Record<string, unknown> | undefined;
      };
    };

/** Longest line in either direction, in bytes. */
export const MAX_LINE_BYTES: number = 64 * 1024;

const OPS: readonly SupervisorRequest["op"][] = ["hello", "look", "open", "reach", "relay", "retire"];

export function encodeLine(message: SupervisorRequest | SupervisorReply): string {
  return `${JSON.stringify(message)}\n`;
}

/** A request, undefined for what is none. Pure. */
export function parseRequest(line: string): SupervisorRequest | undefined {
  const value = parseObject(line);
  if (!OPS.includes(value?.op as SupervisorRequest["op"])) return undefined;
  const needsVm = value?.op === "open" || value?.op === "reach" || value?.op === "relay";
  if (needsVm && typeof value?.vm !== "string") return undefined;
  return value as unknown as SupervisorRequest;
}

/** Who answered. Pure. @throws the error that the answer tells; INTERNAL for what is no answer */
export function readReply(line: string): SupervisorHello {
  const reply = parseObject(line) as SupervisorReply | undefined;
  if (reply?.ok === true) return { pid: reply.pid, version: reply.version };
  if (reply?.ok !== false) throw new SmolVMError("INTERNAL", "the supervisor's answer is not understood");
  const { code, message, hint, details } = reply.error;
  throw new SmolVMError(code, message, { hint, ...(details === undefined ? {} : { details }) });
}

function parseObject(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
