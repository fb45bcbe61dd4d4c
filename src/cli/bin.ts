#!/usr/bin/env node
// This file must run on any Node, to be able to say that it is too old: before the check nothing is imported but that.
import { isSmolVMError } from "../errors.ts";
import { requireNode } from "../util/node-version.ts";

try {
  requireNode("npx -p node@24 -p smolvm smolvm");
  import("./start-up.ts").then(({ startUp }) => startUp());
} catch (error) {
  if (!isSmolVMError(error)) throw error;
  process.stderr.write(`error: ${error.message}\nhint: ${error.hint}\n`);
  process.exitCode = 125;
}
