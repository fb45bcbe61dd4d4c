import fc from "fast-check";
import { expect, test } from "vitest";
import { plainName } from "../../../src/config/network-rules.ts";
import { readClientHello } from "../../../src/egress/client-hello.ts";
import { RequestGuard, RequestRefused } from "../../../src/egress/request-guard.ts";
import { formatIp, parseIp } from "../../../src/util/ip-address.ts";
import { FUZZ_LIMIT_MS, inputs } from "../../helpers/fuzz.ts";

/** Pieces of which requests, and what looks like them, are made. */
const piece = fc.oneof(
  fc.constantFrom(
    "GET / HTTP/1.1\r\n",
    "POST /x HTTP/1.1\r\n",
    "Host: good.test\r\n",
    "Host: evil.test\r\n",
    "Content-Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\r\n",
    "\n",
    "\r",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "abc",
    "X: y\r\n",
    " ",
    ":",
    "Upgrade: websocket\r\n",
    "\0",
  ),
  fc.string({ maxLength: 4 }),
);

/** What passes of a text in pieces of those lengths, and how it ended. */
function through(text: string, lengths: readonly number[]): { passed: string; fault: string | undefined } {
  const guard = new RequestGuard("good.test");
  const bytes = Buffer.from(text, "latin1");
  let passed = "";
  let at = 0;
  try {
    for (let turn = 0; at < bytes.length; turn++) {
      const length = lengths[turn % lengths.length]!;
      passed += guard.push(bytes.subarray(at, at + length)).toString("latin1");
      at += length;
    }
  } catch (error) {
    if (!(error instanceof RequestRefused)) throw error;
    return { passed, fault: error.fault };
  }
  return { passed, fault: undefined };
}

test(
  "what passes to port 80 is what came, up to what is refused, however it was cut; and no other host passes in a head",
  () => {
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 5 }),
        (pieces, lengths) => {
          const text = Buffer.from(pieces.join(""), "latin1").toString("latin1");
          const one = through(text, lengths);
          const bytewise = through(text, [1]);
          expect(text.startsWith(one.passed)).toBe(true);
          expect(one.fault).toBe(bytewise.fault);
          // Cut finer, as much or more of the good beginning may have passed.
          expect(bytewise.passed.startsWith(one.passed)).toBe(true);
          if (one.fault === undefined) expect(bytewise.passed).toBe(one.passed);
        },
      ),
      { numRuns: inputs(3_000) },
    );
  },
  FUZZ_LIMIT_MS,
);

test(
  "no bytes make the reader of TLS throw, and more bytes never take a name back",
  () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, likely) => {
        const buffer = Buffer.from(bytes);
        if (likely) Buffer.from([22, 3, 1, 0, 60, 1, 0, 0, 56]).copy(buffer);
        let before = "more";
        for (let length = 0; length <= buffer.length; length++) {
          const { kind } = readClientHello(buffer.subarray(0, length));
          if (before !== "more") expect(kind).toBe(before);
          before = kind;
        }
      }),
      { numRuns: inputs(2_000) },
    );
  },
  FUZZ_LIMIT_MS,
);

test("whatever is a name stays it, and is no address", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.domain(), fc.ipV4(), fc.ipV6()), (text) => {
      const name = plainName(text);
      if (name === undefined) return;
      expect(plainName(name)).toBe(name);
      expect(parseIp(name)).toBeUndefined();
    }),
  );
});

test("every address is read back from how it is written", () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const address = parseIp(text)!;
      expect(parseIp(formatIp(address))).toEqual(address);
    }),
  );
});
