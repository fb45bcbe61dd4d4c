import { readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { expect, test } from "vitest";

const SRC = join(import.meta.dirname, "../../src");

/** All that is loaded with a file: what it imports statically, and what that does. */
function loadedWith(entry: string): Set<string> {
  const found = new Set<string>();
  const visit = (file: string): void => {
    if (found.has(file)) return;
    found.add(file);
    const text = readFileSync(join(SRC, file), "utf8");
    for (const [, target] of text.matchAll(
      /^(?:import|export)\s+(?!type\s)(?:[^;"]*?\sfrom\s+)?"(\.[^"]+)"/gm,
    ))
      visit(posix.normalize(posix.join(posix.dirname(file), target!)));
  };
  visit(entry);
  return found;
}

test("importing the library loads nothing that only making sandboxes needs: it starts quickly, and an old Node gets to the line that says so", () => {
  const loaded = loadedWith("index.ts");
  expect(loaded).toContain("smolvm.ts");
  const wanted = [...loaded].filter((file) =>
    /\bzstd\w*\b[^;]*"node:zlib"/.test(readFileSync(join(SRC, file), "utf8")),
  );
  expect(wanted).toEqual([]); // Node 20 has none, and would name that instead
  expect(
    [...loaded].filter((file) => /^images\/|^vm\/lifecycle\/(create|start|resolve)\.ts$/.test(file)),
  ).toEqual([]);
});
