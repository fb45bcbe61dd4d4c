import { expect, test } from "vitest";
import { tailLines } from "../../../src/util/tail-lines.ts";

test("the last lines of a text are counted with or without a final newline, empty ones included", () => {
  expect(tailLines("a\n\nb\n", 2)).toBe("\nb\n");
  expect(tailLines("a\nb", 1)).toBe("b");
  expect(tailLines("a\n", 5)).toBe("a\n");
  expect(tailLines("a\n", 0)).toBe("");
  expect(tailLines("", 3)).toBe("");
});
