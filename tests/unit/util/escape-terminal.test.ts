import fc from "fast-check";
import { expect, test } from "vitest";
import { escapeTerminal } from "../../../src/util/escape-terminal.ts";

test.each([
  ["plain text, grüße, 日本語, 🙂", "plain text, grüße, 日本語, 🙂"],
  ["\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"],
  ["\x1b]0;title\x07", "\\x1b]0;title\\x07"],
  ["\u009b31m", "\\x9b31m"],
  ["line\nnext\r\ttab", "line\\nnext\\r\\ttab"],
  ["\0\x7f", "\\x00\\x7f"],
  ["user\u202etxt.exe", "user\\u202etxt.exe"],
  ["\u2066isolate\u2069 \u200b\ufeff", "\\u2066isolate\\u2069 \\u200b\\ufeff"],
  ["tag\u{e0041}", "tag\\u{e0041}"],
  ["lone \ud800 surrogate", "lone \\ud800 surrogate"],
  ["a\\x1b", "a\\\\x1b"],
])("makes %j safe to print", (text, safe) => {
  expect(escapeTerminal(text)).toBe(safe);
});

test("cuts what is too long, and says so", () => {
  expect(escapeTerminal("x".repeat(5000))).toBe(`${"x".repeat(4096)}…`);
  expect(escapeTerminal("abcdef", 3)).toBe("abc…");
  expect(escapeTerminal("abc", 3)).toBe("abc");
});

test("leaves no control character, and keeps different texts different", () => {
  const text = fc.string({ unit: "binary", maxLength: 50 });
  fc.assert(
    fc.property(text, text, (one, other) => {
      const safe = escapeTerminal(one);
      expect(safe).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/);
      if (one !== other) expect(safe).not.toBe(escapeTerminal(other));
    }),
  );
});
