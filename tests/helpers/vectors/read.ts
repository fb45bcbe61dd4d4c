import { FrameType, MAX_OPEN, OPEN_MORE } from "../../../src/agent/wire/frame.ts";
import * as messages from "../../../src/agent/wire/messages.ts";
import { type Draft, decode, encode, type Schema } from "../../../src/agent/wire/schema.ts";
import type { TypeName } from "./bytes.ts";
import type { Message, Value, VectorFrame } from "./vector.ts";

/** The message of each frame type that has one. */
export const FRAME_MESSAGES: Partial<Record<TypeName, Schema<unknown>>> = {
  HELLO: messages.Hello,
  HELLO_ACK: messages.HelloAck,
  OPEN: messages.Open,
  OPENED: messages.Opened,
  CONTROL: messages.Control,
  RESULT: messages.Result,
  GOODBYE: messages.Goodbye,
} as Partial<Record<TypeName, Schema<unknown>>>;

export const RECORD_MESSAGES: Record<string, Schema<unknown>> = {
  TreeRecord: messages.TreeRecord,
  DifferenceRecord: messages.DifferenceRecord,
  FileInfo: messages.FileInfo,
  FileEvent: messages.FileEvent,
  Process: messages.Process,
  DoorConnection: messages.DoorConnection,
} as Record<string, Schema<unknown>>;

const snake = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

function show(value: unknown, kind: unknown): Value {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (typeof value === "object") return asVector(value, kind as Schema<unknown>);
  return value as Value;
}

/** A decoded message as vectors show it: snake_case, bytes as hex, defaults left out. */
export function asVector(message: unknown, schema: Schema<unknown>): Message {
  const shown: Record<string, Value> = {};
  for (const { name, kind, repeated } of schema.fields) {
    const value = (message as Record<string, unknown>)[name];
    if (repeated) {
      const list = value as unknown[];
      if (list.length > 0) shown[snake(name)] = list.map((item) => show(item, kind)) as Value;
    } else if (value instanceof Uint8Array ? value.length > 0 : value) {
      shown[snake(name)] = show(value, kind);
    }
  }
  return shown;
}

/** A vector's message as the encoder takes it. */
export function asDraft(message: Message, schema: Schema<unknown>): Draft<Record<string, unknown>> {
  const draft: Record<string, unknown> = {};
  for (const { name, kind } of schema.fields) {
    const value = message[snake(name)];
    const one = (item: unknown): unknown => {
      if (kind === "bytes") return Buffer.from(item as string, "hex");
      return typeof kind === "object" ? asDraft(item as Message, kind as Schema<unknown>) : item;
    };
    if (value !== undefined) draft[name] = Array.isArray(value) ? value.map(one) : one(value);
  }
  return draft as Draft<Record<string, unknown>>;
}

export function encodeVector(message: Message, schema: Schema<unknown>): Buffer {
  return encode(schema as Schema<Record<string, unknown>>, asDraft(message, schema));
}

const NAMES = Object.fromEntries(Object.entries(FrameType).map(([name, type]) => [type, name as TypeName]));

/** Puts frames together as vectors show them: pieces of DATA joined, messages decoded. */
export class FrameCollector {
  readonly frames: VectorFrame[] = [];
  #open: Buffer[] = [];
  #data: { stream: number; channel: number; pieces: Buffer[] } | undefined;

  /** A frame other than DATA; throws what decoding its message throws. */
  frame(stream: number, type: number, flags: number, payload: Buffer): void {
    this.endData();
    const name = NAMES[type]!;
    const schema = FRAME_MESSAGES[name];
    const shown = { stream, type: name, flags, payload: payload.toString("hex") };
    if (schema === undefined || (name === "OPEN" && flags === OPEN_MORE)) {
      if (name === "OPEN") this.#open.push(Buffer.from(payload));
      this.frames.push(shown);
      return;
    }
    const whole = name === "OPEN" ? Buffer.concat([...this.#open, payload]) : payload;
    if (whole.length > MAX_OPEN) throw new Error("an Open message above 1 MiB");
    this.#open = [];
    this.frames.push({ ...shown, message: asVector(decode(schema, whole), schema) });
  }

  /** A piece of DATA; pieces of one frame follow each other, and the tests' frames are told apart by `last`. */
  data(stream: number, channel: number, piece: Buffer, last: boolean): void {
    this.#data ??= { stream, channel, pieces: [] };
    this.#data.pieces.push(Buffer.from(piece));
    if (last) this.endData();
  }

  endData(): void {
    if (this.#data === undefined) return;
    const { stream, channel, pieces } = this.#data;
    this.#data = undefined;
    this.frames.push({
      stream,
      type: "DATA",
      flags: channel,
      payload: Buffer.concat(pieces).toString("hex"),
    });
  }
}
