import { describe, expect, test } from "vitest";
import { RequestGuard, RequestRefused } from "../../../src/egress/request-guard.ts";

const get = (host = "example.test", more = ""): string => `GET / HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;
const post = (framing: string, body: string): string =>
  `POST /x HTTP/1.1\r\nHost: example.test\r\n${framing}\r\n${body}`;

/** What passes, or why it does not. */
function through(text: string, size = text.length): string {
  const guard = new RequestGuard("example.test");
  const bytes = Buffer.from(text, "latin1");
  let passed = "";
  try {
    for (let at = 0; at < bytes.length; at += size)
      passed += guard.push(bytes.subarray(at, at + size)).toString("latin1");
  } catch (error) {
    if (!(error instanceof RequestRefused)) throw error;
    return error.fault;
  }
  return passed;
}

describe("passes as it came, whatever pieces it came in:", () => {
  test.each([
    ["a request", get()],
    ["two that follow each other", get() + get("EXAMPLE.test.")],
    ["one with the port", get("example.test:80")],
    ["one with a body", post("Content-Length: 5\r\n", "hello") + get()],
    ["one with an empty body", post("Content-Length: 0\r\n", "") + get()],
    [
      "one in chunks",
      post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nTrailer: a\r\n\r\n") + get(),
    ],
    ["one of a proxy's client", `GET http://example.test/x HTTP/1.1\r\nHost: example.test\r\n\r\n`],
    ["one about all", "OPTIONS * HTTP/1.1\r\nHost: example.test\r\n\r\n"],
    ["one of HTTP/1.0", "GET / HTTP/1.0\r\nHost: example.test\r\n\r\n"],
    [
      "a body that looks like another request",
      post("Content-Length: 44\r\n", "GET / HTTP/1.1\r\nHost: evil.test\r\nX: 12345678\r\n".slice(0, 44)),
    ],
  ])("%s", (_what, text) => {
    for (const size of [1, 7, text.length]) expect(through(text, size)).toBe(text);
  });
});

describe("is refused, and nothing of it passes:", () => {
  const [host, http, ambiguous] = ["other-host", "not-http", "ambiguous-request"];
  test.each([
    ["another host", get("evil.test"), host],
    ["no host", "GET / HTTP/1.1\r\n\r\n", host],
    ["an empty host", get(""), host],
    ["a host at another port", get("example.test:81"), host],
    ["a host with a user", get("evil@example.test"), host],
    ["two hosts", get("example.test", "Host: evil.test\r\n"), ambiguous],
    ["the same host twice", get("example.test", "host: example.test\r\n"), ambiguous],
    ["another host in the target", "GET http://evil.test/ HTTP/1.1\r\nHost: example.test\r\n\r\n", host],
    ["a user in the target", "GET http://a@evil.test/ HTTP/1.1\r\nHost: example.test\r\n\r\n", host],
    ["another scheme", "GET ftp://example.test/ HTTP/1.1\r\nHost: example.test\r\n\r\n", host],
    ["CONNECT", "CONNECT evil.test:443 HTTP/1.1\r\nHost: example.test\r\n\r\n", http],
    ["CONNECT to the host itself", "CONNECT example.test:443 HTTP/1.1\r\nHost: example.test\r\n\r\n", http],
    ["HTTP/0.9", "GET /\r\n\r\n", http],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", http],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\n", http],
    ["SSH", "SSH-2.0-OpenSSH\r\n\r\n", http],
    ["lines that end in LF alone", "GET / HTTP/1.1\nHost: example.test\n\n", http],
    ["one such line", "GET / HTTP/1.1\r\nHost: example.test\nX: y\r\n\r\n", http],
    ["a CR alone", get("example.test", "X: a\rb\r\n"), http],
    ["a NUL", get("example.test", "X: a\0b\r\n"), http],
    ["a space before the colon", get("example.test", "Content-Length : 5\r\n"), http],
    ["a folded line", get("example.test", "X: a\r\n b\r\n"), http],
    ["a line without a colon", get("example.test", "X\r\n"), http],
    ["an empty line before it", `\r\n${get()}`, http],
    ["a space in the target", "GET / x HTTP/1.1\r\nHost: example.test\r\n\r\n", http],
    [
      "length and encoding",
      post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
      ambiguous,
    ],
    ["two lengths", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"), ambiguous],
    ["a list of lengths", post("Content-Length: 5, 5\r\n", "hello"), ambiguous],
    ["a length with a sign", post("Content-Length: +5\r\n", "hello"), ambiguous],
    ["a length in hex", post("Content-Length: 0x5\r\n", "hello"), ambiguous],
    ["an endless length", post("Content-Length: 9999999999999999\r\n", ""), ambiguous],
    ["another encoding", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), ambiguous],
    [
      "an encoding that some take for chunked",
      post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
      ambiguous,
    ],
    [
      "two encodings",
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
      ambiguous,
    ],
    [
      "chunks in HTTP/1.0",
      "POST / HTTP/1.0\r\nHost: example.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      ambiguous,
    ],
    ["a size that is none", post("Transfer-Encoding: chunked\r\n", "x\r\n"), ambiguous],
    ["a size with a sign", post("Transfer-Encoding: chunked\r\n", "-1\r\n"), ambiguous],
    ["a size that is too long", post("Transfer-Encoding: chunked\r\n", "000000001\r\n"), ambiguous],
    ["a size that ends in LF", post("Transfer-Encoding: chunked\r\n", "1\nx\r\n"), ambiguous],
    ["a chunk that is longer than it says", post("Transfer-Encoding: chunked\r\n", "1\r\nxy\r\n"), ambiguous],
    ["HTTP/2 after an upgrade", get("example.test", "Connection: Upgrade\r\nUpgrade: h2c\r\n"), ambiguous],
    ["an upgrade with a body", post("Upgrade: websocket\r\nContent-Length: 5\r\n", "hello"), ambiguous],
  ])("%s", (_what, text, fault) => {
    for (const size of [1, 5, text.length]) expect(through(text, size)).toBe(fault);
  });

  test("the second of two, of which the first has passed", () => {
    const guard = new RequestGuard("example.test");
    expect(guard.push(Buffer.from(get())).toString()).toBe(get());
    expect(() => guard.push(Buffer.from(get("evil.test")))).toThrow(RequestRefused);
    // In one piece nothing of both.
    expect(through(get() + get("evil.test"))).toBe("other-host");
  });

  test("a head that does not end", () => {
    expect(through(`GET / HTTP/1.1\r\n${"X: y\r\n".repeat(20_000)}`)).toBe("not-http");
  });
});

describe("an upgrade to websocket", () => {
  const upgrade = get("example.test", "Connection: Upgrade\r\nUpgrade: WebSocket\r\n");

  test("passes what follows once the server has agreed, and not before", () => {
    const guard = new RequestGuard("example.test");
    expect(guard.push(Buffer.from(`${upgrade}\x81\x05`, "latin1")).toString("latin1")).toBe(upgrade);
    expect(guard.push(Buffer.from("hello"))).toHaveLength(0);
    expect(guard.answered(Buffer.from("HTTP/1.1"))).toHaveLength(0);
    expect(guard.answered(Buffer.from(" 101 Switching\r\n")).toString("latin1")).toBe("\x81\x05hello");
    expect(guard.push(Buffer.from("any thing\n")).toString()).toBe("any thing\n");
  });

  test("leaves requests to be looked at where the server does not agree", () => {
    const guard = new RequestGuard("example.test");
    guard.push(Buffer.from(upgrade + get("evil.test")));
    expect(() => guard.answered(Buffer.from("HTTP/1.1 200 OK\r\n"))).toThrow(RequestRefused);
  });

  test("is refused where an answer could be another request's", () => {
    expect(through(get() + upgrade)).toBe("ambiguous-request");
    const guard = new RequestGuard("example.test");
    guard.answered(Buffer.from("HTTP/1.1 101 unasked\r\n"));
    expect(() => guard.push(Buffer.from(upgrade))).toThrow(RequestRefused);
  });
});
