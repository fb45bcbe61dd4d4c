#!/usr/bin/env node
// This file must run on any Node, to be able to say that it is too old: syntax of ES2020, and nothing is imported
// before the check.

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `error: smolvm needs Node.js 22.18 or newer; this is ${process.versions.node} (${process.execPath})\n` +
      "hint: Install a current Node.js from https://nodejs.org or with your package manager, or run: npx -p node@24 -p smolvm smolvm\n",
  );
  process.exitCode = 125;
} else {
  import("./start-up.ts").then(({ startUp }) => startUp());
}

export {};
