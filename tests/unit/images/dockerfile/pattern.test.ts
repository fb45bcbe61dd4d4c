import fc from "fast-check";
import { expect, test } from "vitest";
import { type PatternPart, replaced, without } from "../../../../src/images/dockerfile/pattern.ts";

/** The same as a regular expression. */
function asRegExp(parts: readonly PatternPart[], longest: boolean): string {
  return parts
    .map((part) => (part === "any" ? "." : part !== "many" ? part.is : longest ? ".*" : ".*?"))
    .join("");
}

const part: fc.Arbitrary<PatternPart> = fc.oneof(
  fc.constantFrom("any" as const, "many" as const),
  fc.constantFrom({ is: "a" }, { is: "b" }),
);
const pattern = fc.array(part, { maxLength: 6 });
const value = fc.string({ unit: fc.constantFrom("a", "b", "\n", "\u{1f600}"), maxLength: 12 });
const reversed = (text: string): string => [...text].reverse().join("");

test("what a pattern matches is what a regular expression does", () => {
  fc.assert(
    fc.property(value, pattern, fc.boolean(), fc.boolean(), (text, parts, longest, each) => {
      const start = new RegExp(`^${asRegExp(parts, longest)}`, "su");
      expect(without(text, parts, "start", longest)).toBe(text.replace(start, ""));
      const end = new RegExp(`^${asRegExp(parts.toReversed(), longest)}`, "su");
      expect(without(text, parts, "end", longest)).toBe(reversed(reversed(text).replace(end, "")));
      // An empty match is none, except of nothing.
      const any = new RegExp(asRegExp(parts, true), each ? "gsu" : "su");
      const wanted = text.replace(any, (match) => (match === "" && text !== "" ? "" : "<>"));
      if (parts.length > 0) expect(replaced(text, parts, "<>", { each, maxLength: 1000 })).toBe(wanted);
    }),
    { numRuns: 2000 },
  );
});

test("a pattern that fits almost everywhere takes no time", () => {
  const text = "a".repeat(20_000);
  const parts = Array.from({ length: 20 }, (): PatternPart[] => ["many", { is: "a" }]).flat();
  const begun = performance.now();
  expect(without(text, [...parts, { is: "b" }], "start", true)).toBe(text);
  expect(replaced(text, [...parts, { is: "b" }], "", { each: true, maxLength: 10 })).toBe(text);
  expect(performance.now() - begun).toBeLessThan(1000);
});
