import { violation } from "./violation.ts";
import { LENGTH_DELIMITED, VARINT, WireReader, WireWriter } from "./wire.ts";

/** How a field's value travels. A schema is a sub-message. */
export type Kind = "uint32" | "uint64" | "bool" | "bytes" | "string" | Schema<never>;

/** One field of a message. */
export interface Field {
  readonly number: number;
  readonly name: string;
  readonly kind: Kind;
  readonly repeated: boolean;
}

/** A message of PROTOCOL.md as data. `T` is its decoded shape. */
export interface Schema<T> {
  readonly name: string;
  /** in rising order of their numbers, which is the order they are written in */
  readonly fields: readonly Field[];
  readonly byNumber: ReadonlyMap<number, Field>;
  /** phantom: carries `T` for type inference */
  readonly shape?: (value: T) => void;
}

/** What {@link encode} takes for a message `T`: any field may be left out, at every depth. */
export type Draft<T> = {
  readonly [K in keyof T]?: T[K] extends Uint8Array | readonly unknown[]
    ? T[K] | undefined
    : DraftField<T[K]>;
};
type DraftField<V> = V extends Uint8Array | readonly unknown[] | string | number | boolean | undefined
  ? V | undefined
  : Draft<V> | undefined;

/**
 * Describes a message.
 *
 * @param fields `[number, name, kind]`, or `[number, name, kind, "repeated"]`, in rising order
 */
export function message<T>(
  name: string,
  fields: readonly (readonly [number, keyof T & string, unknown, "repeated"?])[],
): Schema<T> {
  const list = fields.map(([number, field, kind, repeated]) => ({
    number,
    name: field,
    kind: kind as Kind,
    repeated: repeated === "repeated",
  }));
  return { name, fields: list, byNumber: new Map(list.map((field) => [field.number, field])) };
}

const NOTHING = Buffer.alloc(0);

function absent(field: Field): unknown {
  if (field.repeated) return [];
  switch (field.kind) {
    case "uint32":
    case "uint64":
      return 0;
    case "bool":
      return false;
    case "bytes":
      return NOTHING;
    case "string":
      return "";
    default:
      return undefined;
  }
}

function readValue(reader: WireReader, field: Field, wireType: number, where: string): unknown {
  const kind = field.kind;
  const scalar = kind === "uint32" || kind === "uint64" || kind === "bool";
  if (wireType !== (scalar ? VARINT : LENGTH_DELIMITED)) {
    throw violation(`wire type ${wireType} for the field '${field.name}' of ${where}`);
  }
  if (kind === "uint32") {
    const value = reader.varint();
    if (value > 0xffff_ffff) throw violation(`a '${field.name}' of ${where} above 2^32 - 1`);
    return value;
  }
  if (kind === "uint64") return reader.varint();
  if (kind === "bool") {
    return reader.bool();
  }
  const bytes = reader.bytes();
  if (kind === "bytes") return bytes;
  if (kind === "string") return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  return decode(kind as Schema<unknown>, bytes);
}

/**
 * Decodes a whole message. Byte fields are views on `bytes`, strings are decoded leniently (U+FFFD), unknown fields are skipped.
 *
 * @throws SmolVMError AGENT_PROTOCOL, and nothing else, whatever `bytes` holds
 */
export function decode<T>(schema: Schema<T>, bytes: Uint8Array): T {
  const result: Record<string, unknown> = {};
  for (const field of schema.fields) result[field.name] = absent(field);
  const reader = new WireReader(bytes);
  while (!reader.done) {
    const tag = reader.tag();
    const wireType = tag % 8;
    const field = schema.byNumber.get((tag - wireType) / 8);
    if (field === undefined) {
      reader.skip(wireType);
      continue;
    }
    const value = readValue(reader, field, wireType, schema.name);
    if (field.repeated) (result[field.name] as unknown[]).push(value);
    else result[field.name] = value;
  }
  return result as T;
}

function writeValue(writer: WireWriter, field: Field, value: unknown, repeated: boolean): void {
  switch (field.kind) {
    case "uint32":
    case "uint64":
      if (value !== 0 || repeated) writer.number(field.number, value as number);
      return;
    case "bool":
      if (value) writer.number(field.number, 1);
      return;
    case "bytes":
      if ((value as Uint8Array).length > 0 || repeated) writer.bytes(field.number, value as Uint8Array);
      return;
    case "string":
      if (value !== "" || repeated) writer.bytes(field.number, Buffer.from(value as string));
      return;
    default:
      writer.bytes(field.number, encode(field.kind as Schema<unknown>, value as Draft<unknown>));
  }
}

/** Encodes a message in its canonical form: fields in rising order, zero and empty ones left out. */
export function encode<T>(schema: Schema<T>, draft: Draft<T>): Buffer {
  const writer = new WireWriter();
  for (const field of schema.fields) {
    const value = (draft as Record<string, unknown>)[field.name];
    if (value === undefined) continue;
    if (field.repeated) for (const item of value as unknown[]) writeValue(writer, field, item, true);
    else writeValue(writer, field, value, false);
  }
  return writer.finish();
}
