import { Buffer } from "node:buffer";
import { SmolVMError } from "../../errors.ts";

/**
 * QMP, QEMU's machine protocol (https://www.qemu.org/docs/master/interop/qmp-spec.html): JSON objects, one a line,
 * each ended by CR LF. The server speaks first, with a greeting; it answers each command and may send events at any time.
 *
 *   < {"QMP": {"version": {...}, "capabilities": [...]}}
 *   > {"execute": "qmp_capabilities", "id": 1}
 *   < {"return": {}, "id": 1}
 *   < {"event": "SHUTDOWN", "data": {...}, "timestamp": {...}}
 */
export type QmpMessage =
  | { readonly kind: "greeting"; readonly version: string }
  | { readonly kind: "return"; readonly id: number | undefined; readonly value: unknown }
  | {
      readonly kind: "error";
      readonly id: number | undefined;
      readonly class: string;
      readonly description: string;
    }
  | { readonly kind: "event"; readonly name: string; readonly data: unknown };

/** Longest line that is accepted. The largest answer known, query-qmp-schema, has about 200 KiB. */
const QMP_LINE_MAX: number = 4 * 1024 * 1024;

/** A command, ready to be sent. Pure. */
export function encodeCommand(id: number, command: string, args?: Readonly<Record<string, unknown>>): string {
  return `${JSON.stringify({ execute: command, ...(args === undefined ? {} : { arguments: args }), id })}\r\n`;
}

/** Turns bytes, split anywhere, into messages. Memory is bounded by one line. */
export class QmpDecoder {
  #chunks: Uint8Array[] = [];
  #size = 0;
  readonly #lineMax: number;

  constructor(lineMax: number = QMP_LINE_MAX) {
    this.#lineMax = lineMax;
  }

  /** @throws SmolVMError VMM_FAILED: the bytes are not QMP */
  push(chunk: Uint8Array): QmpMessage[] {
    const messages: QmpMessage[] = [];
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end !== -1; end = chunk.indexOf(0x0a, start)) {
      this.#add(chunk.subarray(start, end));
      start = end + 1;
      const line = Buffer.concat(this.#chunks).toString("utf8").trim();
      this.#chunks = [];
      this.#size = 0;
      if (line !== "") messages.push(parseMessage(line));
    }
    this.#add(chunk.subarray(start));
    return messages;
  }

  #add(part: Uint8Array): void {
    this.#size += part.length;
    if (this.#size > this.#lineMax) throw notQmp(`a line is longer than ${this.#lineMax} bytes`);
    // A copy: the caller may reuse its buffer before the line is complete.
    if (part.length > 0) this.#chunks.push(Uint8Array.from(part));
  }
}

function parseMessage(line: string): QmpMessage {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch {
    throw notQmp(`'${line.slice(0, 80)}'`);
  }
  if (!isObject(message)) throw notQmp(`'${line.slice(0, 80)}'`);
  const id = typeof message.id === "number" ? message.id : undefined;
  if (isObject(message.QMP)) return { kind: "greeting", version: greetingVersion(message.QMP) };
  if (isObject(message.error)) {
    const { class: name, desc } = message.error;
    return { kind: "error", id, class: String(name ?? ""), description: String(desc ?? "") };
  }
  if ("return" in message) return { kind: "return", id, value: message.return };
  if (typeof message.event === "string") {
    return { kind: "event", name: message.event, data: message.data };
  }
  throw notQmp(`'${line.slice(0, 80)}'`);
}

function greetingVersion(greeting: Record<string, unknown>): string {
  const version = isObject(greeting.version) ? greeting.version.qemu : undefined;
  if (!isObject(version)) return "";
  return [version.major, version.minor, version.micro].join(".");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function notQmp(what: string): SmolVMError {
  return new SmolVMError("VMM_FAILED", `QEMU's control socket sent something that is not QMP: ${what}`);
}
