import { expect, test } from "vitest";
import { MAX_HELLO, readClientHello } from "../../../src/egress/client-hello.ts";

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const vector = (bytes: number, content: Buffer): Buffer => {
  const length = Buffer.alloc(bytes);
  length.writeUIntBE(content.length, 0, bytes);
  return Buffer.concat([length, content]);
};
const name = (text: string): Buffer =>
  Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(text, "latin1"))]);
const serverName = (...names: Buffer[]): Buffer =>
  Buffer.concat([u16(0), vector(2, vector(2, Buffer.concat(names)))]);
const other = Buffer.concat([u16(43), vector(2, Buffer.from([2, 3, 4]))]);

function handshake(extensions: Buffer | undefined, type = 1): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 1)),
    vector(2, Buffer.from([0x13, 1])),
    vector(1, Buffer.from([0])),
    ...(extensions === undefined ? [] : [vector(2, extensions)]),
  ]);
  return Buffer.concat([Buffer.from([type]), vector(3, body)]);
}

const records = (message: Buffer, size = 16_384): Buffer => {
  const out: Buffer[] = [];
  for (let at = 0; at < message.length; at += size)
    out.push(Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + size)));
  return Buffer.concat(out);
};

const good = records(handshake(Buffer.concat([other, serverName(name("Example.test"))])));

test("the name is found, however the bytes come and in whatever records", () => {
  for (const bytes of [
    good,
    records(handshake(serverName(name("Example.test"))), 1),
    Buffer.concat([good, Buffer.from("more")]),
  ])
    expect(readClientHello(bytes)).toEqual({ kind: "hello", serverName: "Example.test" });
  for (let length = 0; length < good.length; length++)
    expect(readClientHello(good.subarray(0, length))).toEqual({ kind: "more" });
});

test("a hello without a name has none", () => {
  expect(readClientHello(records(handshake(other)))).toEqual({ kind: "hello", serverName: undefined });
  expect(readClientHello(records(handshake(undefined)))).toEqual({ kind: "hello", serverName: undefined });
});

test.each([
  ["plain HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
  ["SSH", Buffer.from("SSH-2.0-x\r\n")],
  ["SSL 2", Buffer.from([0x80, 0x2e, 1, 0, 2])],
  ["another handshake message", records(handshake(other, 2))],
  ["another kind of record", Buffer.concat([Buffer.from([23]), good.subarray(1)])],
  ["another version", Buffer.concat([Buffer.from([22, 2]), good.subarray(2)])],
  ["an empty record", Buffer.concat([Buffer.from([22, 3, 1, 0, 0]), good])],
  ["a record that is too long", Buffer.from([22, 3, 1, 0x40, 1])],
  ["a hello that is too long", records(Buffer.concat([Buffer.from([1, 1, 0, 0]), Buffer.alloc(100)]))],
  [
    "two lists of names",
    records(handshake(Buffer.concat([serverName(name("a.test")), serverName(name("b.test"))]))),
  ],
  ["two names", records(handshake(serverName(name("a.test"), name("b.test"))))],
  [
    "a name of another type",
    records(handshake(serverName(Buffer.concat([Buffer.from([1]), vector(2, Buffer.from("a.test"))])))),
  ],
  [
    "something behind the names",
    records(
      handshake(
        Buffer.concat([u16(0), vector(2, Buffer.concat([vector(2, name("a.test")), Buffer.from([0])]))]),
      ),
    ),
  ],
  ["a length that lies", records(handshake(Buffer.concat([u16(0), u16(99)])))],
])("%s is none", (_what, bytes) => {
  expect(readClientHello(bytes)).toEqual({ kind: "none" });
});

test("what never ends is given up", () => {
  const endless = records(Buffer.concat([Buffer.from([1, 0, 0x7f, 0xff]), Buffer.alloc(MAX_HELLO)]), 1);
  expect(readClientHello(endless.subarray(0, MAX_HELLO + 10))).toEqual({ kind: "none" });
});
