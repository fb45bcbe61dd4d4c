import { describe, expect, test } from "vitest";
import { AnswerReader } from "../../../../src/backends/firecracker/answers.ts";

const DONE = "HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n";
const FAULT = '{"fault_message":"ö"}';
const REFUSED = `HTTP/1.1 400 \r\nServer: Firecracker API\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(FAULT)}\r\n\r\n${FAULT}`;

describe("answers of Firecracker's API", () => {
  test("are the same in whatever pieces they come", () => {
    const bytes = Buffer.from(DONE + REFUSED + DONE);
    for (let size = 1; size <= bytes.length; size++) {
      const reader = new AnswerReader();
      const answers = [];
      for (let at = 0; at < bytes.length; at += size)
        answers.push(...reader.push(bytes.subarray(at, at + size)));
      expect(answers).toEqual([
        { status: 204, body: "" },
        { status: 400, body: FAULT },
        { status: 204, body: "" },
      ]);
    }
  });

  test.each([
    ["is no HTTP", "hello\r\n\r\n"],
    ["says no length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
    ["says too long a length", "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"],
    ["has a head without end", `HTTP/1.1 200 OK\r\n${"a: b\r\n".repeat(20_000)}`],
  ])("that one %s is told", (_, text) => {
    expect(() => new AnswerReader().push(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: "VMM_FAILED" }),
    );
  });
});
