import { expect, test } from "vitest";
import { mayBeHost } from "../../../src/util/host-name.ts";

test.each([
  ["127.0.0.1", true],
  ["::1", true],
  ["fe80::1%eth0", true],
  ["localhost", true],
  ["EXAMPLE.com.", true],
  ["my_db.internal", true],
  ["bücher.example", true],
  ["x".repeat(254), true],
  ["x".repeat(255), false],
  ["", false],
  [".", false],
  ["a..b", false],
  ["bad host", false],
  ["/run/docker.sock", false],
  ["-x", false],
  ["http://example.com", false],
  ["user@example.com", false],
  ["[::1]", false],
  ["::1:80", true], // an address
  ["1.2.3.4:80", false],
  ["a\0b", false],
  ["a\u200eb", false],
])("%j may be a host: %s", (text, expected) => {
  expect(mayBeHost(text)).toBe(expected);
});
