#!/usr/bin/env node
// This file must run on any Node, to be able to say that it is too old: before the check nothing runs but that.
import { refuseNode } from "../util/node-version.ts";

const refused = refuseNode("npx -p node@24 -p smolvm smolvm");
if (refused === undefined) {
  import("./load.ts").then(({ load }) => load());
} else {
  process.stderr.write(`error: ${refused.message}\nhint: ${refused.hint}\n`);
  process.exitCode = 125;
}
