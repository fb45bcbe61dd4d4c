import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../../src/errors.ts";

/** A docstring's `@throws SmolVMError A, B (why), C` with the lines that it goes on over. */
const THROWS = /@throws SmolVMError (.*(?:\n \* {3,}.*|\n {3}\* {3,}.*)*)/g;

test("docstrings name no code of an error that there is not", () => {
  const source = join(import.meta.dirname, "../../src");
  const files = readdirSync(source, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith(".ts"),
  );
  const unknown: string[] = [];
  let named = 0;
  for (const path of files)
    for (const [, list = ""] of readFileSync(join(source, path), "utf8").matchAll(THROWS))
      for (const code of list.replace(/\([^()]*\)/g, "").match(/\b(?!SMOLVM_|MAX_)[A-Z]+_[A-Z_]+\b/g) ?? []) {
        named++;
        if (!Object.hasOwn(ERROR_CODES, code)) unknown.push(`${path}: ${code}`);
      }
  expect(unknown).toEqual([]);
  expect(named).toBeGreaterThan(500);
});
