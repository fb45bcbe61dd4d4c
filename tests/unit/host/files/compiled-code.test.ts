import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { loadCompiled } from "../../../../src/host/files/compiled-code.ts";
import { keepCompiled } from "../../../../src/host/files/keep-compiled.ts";

const require = createRequire(import.meta.url);

let directory: string;
let file: string;
let cache: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smc-"));
  file = join(directory, "core.js");
  cache = join(directory, "compile");
  writeFileSync(join(directory, "package.json"), '{ "type": "commonjs" }');
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Exports {
  readonly answer: () => string;
}

/** What the file exports, as whoever requires it next gets it, and how to keep it. */
function load(source: string): { exports: Exports; keep: (() => void) | undefined } {
  if (!existsSync(file) || readFileSync(file, "utf8") !== source) writeFileSync(file, source);
  delete require.cache[file];
  const unkept = loadCompiled(file, cache, "exec", require);
  expect(require.cache[file]).toBeDefined();
  return { exports: require(file), keep: unkept && (() => keepCompiled(unkept)) };
}

const source = (word: string): string =>
  `exports.answer = function () { return require("node:path").basename(__filename) + ": ${word}"; };`;

/** The one file that is kept. */
const kept = (): string =>
  join(cache, readdirSync(cache)[0]!, readdirSync(join(cache, readdirSync(cache)[0]!))[0]!);

test("what was compiled is kept once, and is what the next one begins with", () => {
  const first = load(source("hello"));
  expect(first.exports.answer()).toBe("core.js: hello");
  first.keep!();
  const second = load(source("hello"));
  expect(second.keep).toBeUndefined();
  expect(second.exports.answer()).toBe("core.js: hello");
  expect(readdirSync(join(cache, readdirSync(cache)[0]!))).toHaveLength(1);
});

test("another source of the same length is not taken for it", () => {
  const first = load(source("hello"));
  first.exports.answer();
  first.keep!();
  // As a package manager or an editor would write it that keeps a file's times.
  const { atime, mtime } = statSync(file);
  writeFileSync(file, source("world"));
  utimesSync(file, atime, mtime);
  const second = load(source("world"));
  expect(second.exports.answer()).toBe("core.js: world");
  second.exports.answer();
  second.keep!();
  expect(load(source("world")).keep).toBeUndefined();
});

test("what is damaged is made anew", () => {
  const first = load(source("hello"));
  first.exports.answer();
  first.keep!();
  const whole = readFileSync(kept());
  for (const damaged of [
    Buffer.alloc(0),
    whole.subarray(0, 6),
    whole.subarray(0, whole.length - 1),
    Buffer.concat([whole.subarray(0, 8 + source("hello").length), Buffer.alloc(500)]),
    Buffer.alloc(whole.length),
  ]) {
    writeFileSync(kept(), damaged);
    const next = load(source("hello"));
    expect(next.exports.answer()).toBe("core.js: hello");
    expect(next.keep).toBeDefined();
  }
  load(source("hello")).keep!();
  expect(load(source("hello")).keep).toBeUndefined();
});

test("where nothing can be kept it is as it would be without", () => {
  writeFileSync(cache, "a file where the directory should be");
  const first = load(source("hello"));
  expect(first.exports.answer()).toBe("core.js: hello");
  first.keep!();
  expect(load(source("hello")).exports.answer()).toBe("core.js: hello");
});

test("what is not there or not ASCII is left to require, and what throws is not kept from being tried again", () => {
  expect(loadCompiled(join(directory, "absent.js"), cache, "exec", require)).toBeUndefined();
  writeFileSync(file, 'exports.answer = () => "\u00e9";');
  expect(loadCompiled(file, cache, "exec", require)).toBeUndefined();
  expect(require.cache[file]).toBeUndefined();
  writeFileSync(file, 'throw new Error("no");');
  expect(() => loadCompiled(file, cache, "exec", require)).toThrow("no");
  expect(require.cache[file]).toBeUndefined();
});

test("what a long command called once, at its beginning, is kept as well, though V8 throws such code away", () => {
  writeFileSync(file, Array.from({ length: 300 }, (_, i) => `exports.x${i} = ${i};`).join("\n"));
  /** How large what is kept is after so many collections, each of which throws away what is not being executed. */
  const keptBytes = (collections: number): number => {
    const modules = join(import.meta.dirname, "../../../../src/host/files");
    const program = `
      import { createRequire } from "node:module";
      import { loadCompiled } from ${JSON.stringify(join(modules, "compiled-code.ts"))};
      import { keepCompiled } from ${JSON.stringify(join(modules, "keep-compiled.ts"))};
      const require = createRequire(${JSON.stringify(file)});
      const unkept = loadCompiled(${JSON.stringify(file)}, ${JSON.stringify(cache)}, "exec", require);
      for (let i = 0; i < ${collections}; i++) gc();
      keepCompiled(unkept);`;
    const options = ["--no-warnings", "--stress-flush-code", "--expose-gc", "--input-type=module"];
    execFileSync(process.execPath, [...options, "--eval", program]);
    const { size } = statSync(kept());
    rmSync(cache, { recursive: true });
    return size;
  };
  const atOnce = keptBytes(0);
  expect(atOnce).toBeGreaterThan(2 * statSync(file).size);
  expect(keptBytes(3)).toBe(atOnce);
});
