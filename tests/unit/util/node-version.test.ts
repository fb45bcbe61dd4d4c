import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isNodeSupported, OLDEST_NODE } from "../../../src/util/node-version.ts";

test.each([
  ["20.20.2", false],
  ["22.17.1", false],
  ["22.18.0", true],
  ["24.0.0", true],
])("Node %s: supported is %s", (version, supported) => {
  expect(isNodeSupported(version)).toBe(supported);
});

test("the package says which Node it needs as the code does", () => {
  const { engines } = JSON.parse(readFileSync(join(import.meta.dirname, "../../../package.json"), "utf8"));
  expect(engines.node).toBe(`>=${OLDEST_NODE}`);
});
