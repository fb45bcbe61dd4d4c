import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeCommand, QmpDecoder, type QmpMessage } from "../../../../src/backends/qemu/qmp-codec.ts";

const CONVERSATION = [
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}\r\n',
  '{"return": {}, "id": 1}\r\n',
  "\r\n",
  '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n',
  '{"id": 2, "error": {"class": "GenericError", "desc": "nö"}}\r\n',
  '{"return": {"status": "running"}, "id": 3}\n',
].join("");

const MESSAGES: QmpMessage[] = [
  { kind: "greeting", version: "7.2.22" },
  { kind: "return", id: 1, value: {} },
  { kind: "event", name: "STOP", data: undefined },
  { kind: "error", id: 2, class: "GenericError", description: "nö" },
  { kind: "return", id: 3, value: { status: "running" } },
];

const decode = (parts: readonly Uint8Array[], lineMax?: number): QmpMessage[] => {
  const decoder = new QmpDecoder(lineMax);
  return parts.flatMap((part) => decoder.push(part));
};

describe("the QMP decoder", () => {
  const bytes = Buffer.from(CONVERSATION);

  test("reads a conversation", () => {
    expect(decode([bytes])).toEqual(MESSAGES);
  });

  test("reads the same when it is split at any byte, inside a character included", () => {
    for (let at = 0; at <= bytes.length; at++) {
      expect(decode([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(MESSAGES);
    }
  });

  test("reads the same byte by byte", () => {
    expect(decode([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(MESSAGES);
  });

  test("keeps no reference to a buffer that its caller uses again", () => {
    const decoder = new QmpDecoder();
    const buffer = Buffer.from('{"return": 1, ');
    decoder.push(buffer);
    buffer.fill(0);
    expect(decoder.push(Buffer.from('"id": 9}\n'))).toEqual([{ kind: "return", id: 9, value: 1 }]);
  });

  test("refuses a line that is too long, before it is complete", () => {
    expect(() => decode([Buffer.alloc(60, 0x20), Buffer.alloc(60, 0x20)], 100)).toThrow(
      "a line is longer than 100 bytes",
    );
  });

  test.each(["hello\n", "[1]\n", "null\n", '{"x": 1}\n'])("refuses %j, which is not QMP", (line) => {
    expect(() => decode([Buffer.from(line)])).toThrow("something that is not QMP");
  });

  test("whatever arrives, it answers with messages or a VMM_FAILED error", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 })), (parts) => {
        try {
          decode(parts, 128);
        } catch (error) {
          expect(error).toMatchObject({ code: "VMM_FAILED" });
        }
      }),
    );
  });
});

test("a command is one line of JSON with its id", () => {
  expect(encodeCommand(7, "quit")).toBe('{"execute":"quit","id":7}\r\n');
  expect(JSON.parse(encodeCommand(8, "cont", { a: "x\ny" }))).toEqual({
    execute: "cont",
    arguments: { a: "x\ny" },
    id: 8,
  });
});
