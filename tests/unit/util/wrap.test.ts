import { expect, test } from "vitest";
import { hangingIndent, wrap } from "../../../src/util/wrap.ts";

test("text is broken at spaces, and nowhere else", () => {
  expect(wrap("one two three", 7)).toEqual(["one two", "three"]);
  expect(wrap("a-word-that-is-too-long for it", 6)).toEqual(["a-word-that-is-too-long", "for it"]);
  expect(wrap("", 10)).toEqual([""]);
});

test("a long value goes on below itself", () => {
  expect(hangingIndent("name:  ", "a value of several words and more of them", 30)).toBe(
    "name:  a value of several\n       words and more of them",
  );
  expect(hangingIndent("✅ ", "KVM support: it is switched off", 25, 3)).toBe(
    "✅ KVM support: it is\n   switched off",
  );
});

test("it stays one line where there is no terminal, or one too narrow for columns", () => {
  const value = "a value of several words and more of them";
  expect(hangingIndent("name:  ", value, undefined)).toBe(`name:  ${value}`);
  expect(hangingIndent("name:  ", value, 20)).toBe(`name:  ${value}`);
  expect(hangingIndent("name:  ", "", 80)).toBe("name:");
});
