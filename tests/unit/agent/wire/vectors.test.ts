import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeFrame, FrameDecoder, FrameType } from "../../../../src/agent/wire/frame.ts";
import { HelloScan, MAGIC } from "../../../../src/agent/wire/hello.ts";
import { encodeRecord, RecordDecoder } from "../../../../src/agent/wire/records.ts";
import { decode } from "../../../../src/agent/wire/schema.ts";
import { isSmolVMError } from "../../../../src/errors.ts";
import { VECTOR_FILES, vectorJson } from "../../../helpers/vectors/all.ts";
import {
  asVector,
  encodeVector,
  FRAME_MESSAGES,
  FrameCollector,
  RECORD_MESSAGES,
} from "../../../helpers/vectors/read.ts";
import type { Message, Vector, VectorFrame } from "../../../helpers/vectors/vector.ts";

const DIRECTORY = join(import.meta.dirname, "../../../../protocol/vectors");

interface Outcome {
  frames?: readonly VectorFrame[];
  records?: readonly Message[];
  refused: boolean;
}

/** Feeds the pieces one after the other until one is refused. */
function feed(pieces: readonly Buffer[], push: (piece: Buffer) => void): boolean {
  try {
    for (const piece of pieces) push(piece);
    return false;
  } catch (error) {
    if (!isSmolVMError(error, "AGENT_PROTOCOL")) throw error;
    return true;
  }
}

function decodeFrames(vector: Vector, pieces: readonly Buffer[]): Outcome {
  const collector = new FrameCollector();
  const decoder: FrameDecoder = new FrameDecoder(vector.direction, {
    frame: (...frame) => collector.frame(...frame),
    data: (stream, channel, piece) => collector.data(stream, channel, piece, decoder.atBoundary),
  });
  const refused = feed(pieces, (piece) => decoder.push(piece));
  return { frames: collector.frames, refused };
}

function decodeSession(vector: Vector, pieces: readonly Buffer[]): Outcome {
  const collector = new FrameCollector();
  const scan = new HelloScan(Buffer.from(vector.nonce!, "hex"));
  let decoder: FrameDecoder | undefined;
  const refused = feed(pieces, (piece) => {
    if (decoder !== undefined) {
      decoder.push(piece);
      return;
    }
    const found = scan.push(piece);
    if (found === undefined) return;
    const { payload } = vector.frames![0]!; // the scan gives the message alone
    const message = asVector(found.ack, FRAME_MESSAGES.HELLO_ACK!);
    collector.frames.push({ stream: 0, type: "HELLO_ACK", flags: 0, payload, message });
    decoder = new FrameDecoder("guest", {
      frame: (...frame) => collector.frame(...frame),
      data: (stream, channel, data) => collector.data(stream, channel, data, decoder!.atBoundary),
    });
    decoder.push(found.rest);
  });
  return { frames: collector.frames, refused };
}

function decodeRecords(vector: Vector, pieces: readonly Buffer[]): Outcome {
  const records: Message[] = [];
  const schema = RECORD_MESSAGES[vector.record!]!;
  const decoder = new RecordDecoder((record) => records.push(asVector(decode(schema, record), schema)));
  return { refused: feed(pieces, (piece) => decoder.push(piece)), records };
}

function decodeVector(vector: Vector, pieces: readonly Buffer[]): Outcome {
  if (vector.layer === "frames") return decodeFrames(vector, pieces);
  return vector.layer === "session" ? decodeSession(vector, pieces) : decodeRecords(vector, pieces);
}

function encodeVectorBytes(vector: Vector): string {
  if (vector.layer === "records") {
    const schema = RECORD_MESSAGES[vector.record!]!;
    return Buffer.concat(
      vector.records!.map((record) => encodeRecord(encodeVector(record, schema))),
    ).toString("hex");
  }
  const frames = vector.frames!.map(({ stream, type, flags, payload, message }) => {
    const schema = FRAME_MESSAGES[type];
    const bytes = message && schema ? encodeVector(message, schema) : Buffer.from(payload, "hex");
    return encodeFrame(stream, FrameType[type], flags, bytes);
  });
  return Buffer.concat(vector.layer === "session" ? [MAGIC, ...frames] : frames).toString("hex");
}

describe.each(Object.keys(VECTOR_FILES))("the golden vectors of %s.json", (name) => {
  const content = readFileSync(join(DIRECTORY, `${name}.json`), "utf8");
  const vectors = JSON.parse(content) as Vector[];
  // The host reads no host's session start.
  const readable = vectors.filter(({ layer, direction }) => layer !== "session" || direction === "guest");

  test("are what their specification writes", () => {
    expect(content).toBe(vectorJson(VECTOR_FILES[name]!));
  });

  test.each(readable)("decode whole: $name", (vector) => {
    const outcome = decodeVector(vector, [Buffer.from(vector.bytes, "hex")]);
    expect(outcome).toEqual({
      ...(vector.frames ? { frames: vector.frames } : { records: vector.records }),
      refused: vector.error !== undefined,
    });
  });

  test.each(readable)("decode split at every byte: $name", (vector) => {
    const bytes = Buffer.from(vector.bytes, "hex");
    const whole = decodeVector(vector, [bytes]);
    for (let at = 0; at <= bytes.length; at++) {
      expect(decodeVector(vector, [bytes.subarray(0, at), bytes.subarray(at)])).toEqual(whole);
    }
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
    expect(decodeVector(vector, single)).toEqual(whole);
  });

  test.each(vectors.filter(({ canonical }) => canonical))("encode to the same bytes: $name", (vector) => {
    expect(encodeVectorBytes(vector)).toBe(vector.bytes);
  });
});
