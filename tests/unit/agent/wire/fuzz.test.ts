import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameDecoder, FrameType, MAX_PAYLOAD } from "../../../../src/agent/wire/frame.ts";
import { HelloScan, MAGIC } from "../../../../src/agent/wire/hello.ts";
import * as messages from "../../../../src/agent/wire/messages.ts";
import { encodeRecord, RecordDecoder } from "../../../../src/agent/wire/records.ts";
import { decode, encode, type Kind, type Schema } from "../../../../src/agent/wire/schema.ts";
import { isSmolVMError } from "../../../../src/errors.ts";
import { FUZZ_LIMIT_MS, inputs } from "../../../helpers/fuzz.ts";
import { header, TYPE } from "../../../helpers/vectors/bytes.ts";

const SCHEMAS = (Object.values(messages) as unknown[]).filter(
  (value): value is Schema<never> => typeof value === "object" && value !== null && "byNumber" in value,
);
const schema = fc.constantFrom(...SCHEMAS);
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));

/** What `act` throws, which must be the protocol error or nothing. */
function refusal(act: () => void): string | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (!isSmolVMError(error, "AGENT_PROTOCOL")) throw error;
    return error.message;
  }
}

/** Cuts bytes into pieces at the given places. */
function cut(whole: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set([0, ...places.map((place) => place % (whole.length + 1)), whole.length])].sort(
    (a, b) => a - b,
  );
  return at.slice(1).map((end, n) => whole.subarray(at[n], end));
}

/** A value that a field of this kind can hold. */
function fieldValue(kind: Kind): fc.Arbitrary<unknown> {
  switch (kind) {
    case "uint32":
      return fc.nat({ max: 0xffff_ffff });
    case "uint64":
      return fc.maxSafeNat();
    case "bool":
      return fc.boolean();
    case "bytes":
      return fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
    case "string":
      return fc.string({ unit: "binary", maxLength: 20 }).filter((text) => text.isWellFormed());
    default:
      return messageOf(kind as Schema<never>);
  }
}

function messageOf(of: Schema<never>): fc.Arbitrary<Record<string, unknown>> {
  const fields = of.fields.map(({ name, kind, repeated }) => {
    const value = fieldValue(kind);
    return [
      name,
      repeated
        ? fc.array(value, { maxLength: 4 })
        : typeof kind === "object"
          ? fc.option(value, { nil: undefined })
          : value,
    ];
  });
  return fc.record(Object.fromEntries(fields) as Record<string, fc.Arbitrary<unknown>>);
}

/** A message and its schema. */
const sample = fc.oneof(...SCHEMAS.map((of) => messageOf(of).map((message) => ({ of, message }))));

describe("messages", { timeout: FUZZ_LIMIT_MS }, () => {
  test("of any bytes decode or are refused, and nothing else happens", () => {
    fc.assert(
      fc.property(schema, bytes, (of, input) => void refusal(() => decode(of, input))),
      { numRuns: inputs(5000) },
    );
  });

  test("come back from their encoding as they were, whatever they hold", () => {
    fc.assert(
      fc.property(sample, ({ of, message }) => {
        const encoded = encode(of as Schema<Record<string, unknown>>, message as never);
        expect(decode(of, encoded)).toEqual(message);
      }),
      { numRuns: inputs(1000) },
    );
  });

  test("with one byte changed decode or are refused", () => {
    fc.assert(
      fc.property(sample, fc.nat(), fc.nat({ max: 255 }), ({ of, message }, place, value) => {
        const encoded = encode(of as Schema<Record<string, unknown>>, message as never);
        if (encoded.length > 0) encoded[place % encoded.length] = value;
        refusal(() => decode(of, encoded));
      }),
      { numRuns: inputs(1000) },
    );
  });
});

describe("frames", { timeout: FUZZ_LIMIT_MS }, () => {
  /** What a decoder makes of pieces: its calls, DATA of one frame joined. */
  function run(side: "host" | "guest", pieces: readonly Buffer[]) {
    const calls: [number, number, number, string][] = [];
    let data: Buffer[] = [];
    let held = 0;
    const decoder: FrameDecoder = new FrameDecoder(side, {
      frame: (stream, type, flags, payload) => calls.push([stream, type, flags, payload.toString("hex")]),
      data: (stream, channel, piece) => {
        data.push(piece);
        held = Math.max(held, piece.length);
        if (!decoder.atBoundary) return;
        calls.push([stream, FrameType.DATA, channel, Buffer.concat(data).toString("hex")]);
        data = [];
      },
    });
    const refused = refusal(() => {
      for (const piece of pieces) decoder.push(piece);
    });
    expect(held).toBeLessThanOrEqual(MAX_PAYLOAD);
    return { calls, refused };
  }

  /** Frames that are mostly right, so that the fuzzing gets past the first header. */
  const frame = fc
    .tuple(
      fc.constantFrom(...Object.values(TYPE), 0, 14),
      fc.constantFrom(0, 1, 3, 2, 0xffff_ffff),
      fc.constantFrom(0, 0, 1, 1, 2, 7),
      fc.uint8Array({ maxLength: 40 }),
    )
    .map(([type, stream, flags, payload]) =>
      Buffer.concat([Buffer.from(header(payload.length, stream, type, flags), "hex"), payload]),
    );
  const stream = fc.array(fc.oneof({ weight: 9, arbitrary: frame }, { weight: 1, arbitrary: bytes }), {
    maxLength: 12,
  });

  test("of any bytes decode or are refused, in whatever pieces they come", () => {
    const sides = fc.constantFrom("host" as const, "guest" as const);
    fc.assert(
      fc.property(sides, stream, fc.array(fc.nat(), { maxLength: 20 }), (side, parts, places) => {
        const whole = Buffer.concat(parts);
        expect(run(side, cut(whole, places))).toEqual(run(side, [whole]));
      }),
      { numRuns: inputs(1500) },
    );
  });
});

describe("the search for a hello", { timeout: FUZZ_LIMIT_MS }, () => {
  const nonce = Buffer.alloc(16, 7);
  const ack = Buffer.concat([
    MAGIC,
    Buffer.from(header(20, 0, TYPE.HELLO_ACK), "hex"),
    encode(messages.HelloAck, { version: 1, nonce }),
  ]);

  test("finds it behind any bytes that do not hold it, in whatever pieces they come", () => {
    const magicalJunk = fc.array(
      fc.oneof(
        fc.constant(MAGIC),
        fc.constant(MAGIC.subarray(0, 9)),
        fc.constant(ack.subarray(0, 30)),
        fc.constant(Buffer.from(header(1024, 0, TYPE.HELLO_ACK), "hex")),
        bytes,
      ),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(magicalJunk, bytes, fc.array(fc.nat(), { maxLength: 10 }), (junk, rest, places) => {
        // Junk that promises an answer of up to 1,024 bytes may swallow what follows: so none may be under way.
        const before = Buffer.concat([...junk, Buffer.alloc(1100)]);
        const scan = new HelloScan(nonce);
        let found = "";
        let after: Buffer = Buffer.alloc(0);
        for (const piece of cut(Buffer.concat([before, ack, rest]), places)) {
          if (found !== "") {
            after = Buffer.concat([after, piece]);
            continue;
          }
          const result = scan.push(piece);
          if (result === undefined) continue;
          found = Buffer.from(result.ack.nonce).toString("hex");
          after = result.rest;
        }
        expect(found).toBe(nonce.toString("hex"));
        expect(after.equals(rest)).toBe(true);
      }),
      { numRuns: inputs(1000) },
    );
  });

  test("gives up on a guest that gives broken answers instead of a good one", () => {
    const broken = Buffer.concat([
      MAGIC,
      Buffer.from(header(18, 0, TYPE.HELLO_ACK), "hex"),
      Buffer.from([0x0d, 0]),
      nonce,
    ]);
    const scan = new HelloScan(nonce);
    expect(refusal(() => void scan.push(Buffer.concat(Array(16).fill(broken))))).toBeUndefined();
    expect(scan.push(ack)?.ack.version).toBe(1);
    expect(refusal(() => void new HelloScan(nonce).push(Buffer.concat(Array(17).fill(broken))))).toMatch(
      /wire type 5/,
    );
  });

  test("gives up after 16 MiB, having kept next to nothing", () => {
    const scan = new HelloScan(nonce);
    const junk = Buffer.alloc(1024 * 1024, ack.subarray(0, 29));
    expect(
      refusal(() => {
        for (let n = 0; n < 17; n++) scan.push(junk);
      }),
    ).toMatch(/16777216 bytes/);
  });
});

describe("records", { timeout: FUZZ_LIMIT_MS }, () => {
  test("of any bytes decode or are refused, in whatever pieces they come", () => {
    const run = (pieces: readonly Buffer[]) => {
      const records: string[] = [];
      const decoder = new RecordDecoder((record) => records.push(record.toString("hex")));
      const refused = refusal(() => {
        for (const piece of pieces) decoder.push(piece);
      });
      return { records, refused };
    };
    const stream = fc.array(fc.oneof(bytes, bytes.map(encodeRecord)), { maxLength: 10 });
    fc.assert(
      fc.property(stream, fc.array(fc.nat(), { maxLength: 10 }), (parts, places) => {
        const whole = Buffer.concat(parts);
        expect(run(cut(whole, places))).toEqual(run([whole]));
      }),
      { numRuns: inputs(1500) },
    );
  });

  test("come back as they were, up to the longest", () => {
    for (const length of [0, 1, 127, 128, 16_383, 16_384, 65_536]) {
      const record = Buffer.alloc(length, "x");
      const seen: Buffer[] = [];
      new RecordDecoder((one) => seen.push(Buffer.from(one))).push(encodeRecord(record));
      expect(seen).toEqual([record]);
    }
    expect(refusal(() => new RecordDecoder(() => {}).push(encodeRecord(Buffer.alloc(65_537))))).toMatch(
      /65537/,
    );
  });
});
