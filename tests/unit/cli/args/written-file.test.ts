import { expect, test } from "vitest";
import { fileToWrite } from "../../../../src/cli/args/written-file.ts";

test("a file is written, and never one that is called like a stream", () => {
  expect(fileToWrite("out.tar")).toBe("out.tar");
  expect(fileToWrite("./-")).toBe("./-");
  expect(() => fileToWrite("-")).toThrow("'-' is no file: this command writes to one, and not to a stream");
});
