import { describe, expect, test } from "vitest";
import { canonicalJson, jsonProblem } from "../../../src/util/json.ts";

describe("what JSON can say", () => {
  test("is accepted, however it is nested", () => {
    for (const value of [null, true, 0, -1.5e300, "", "ü\n", [], {}, [[{ a: [null] }]], Object.create(null)])
      expect(jsonProblem(value), JSON.stringify(value)).toBeUndefined();
  });

  test("and nothing else is, wherever it stands", () => {
    const itself: unknown[] = [];
    itself.push(itself);
    for (const [value, problem] of [
      [undefined, /type undefined/],
      [Number.NaN, /holds NaN/],
      [Number.POSITIVE_INFINITY, /holds Infinity/],
      [1n, /type bigint/],
      [() => {}, /type function/],
      [new Date(0), /holds a Date/],
      [new Map(), /holds a Map/],
      ["a\0b", /NUL/],
      // biome-ignore lint/suspicious/noSparseArray: that is the case
      [[1, , 2], /type undefined/],
      [itself, /deeper than 32/],
    ] as const)
      for (const where of [value, [value], { a: { b: value } }]) expect(jsonProblem(where)).toMatch(problem);
  });

  test("has one text for equal values, and another one for others", () => {
    expect(canonicalJson({ b: [1, { d: null, c: "x" }], a: true })).toBe(
      '{"a":true,"b":[1,{"c":"x","d":null}]}',
    );
    expect(JSON.parse(canonicalJson(JSON.parse('{"__proto__":1}')))).toHaveProperty(["__proto__"], 1);
  });
});
