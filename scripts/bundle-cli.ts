/**
 * Bundles the command line into dist/cli/, after tsc has filled dist/. `smolvm exec` loads about a hundred modules; as
 * files of their own they cost more CPU than Node itself needs to start, in one chunk a third of that.
 * The library (dist/index.js and what it imports) stays as tsc wrote it.
 */
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { rolldown } from "rolldown";

const ROOT = join(import.meta.dirname, "..");
const OUT = join(ROOT, "dist/cli");
/** What says that Node is too old, and what loads all else: in one file with all that they need, because each more that Node loads takes half a ms. It must be small: it is compiled each time. */
const ENTRY: readonly string[] = ["bin.ts", "load.ts"].map((file) => join(ROOT, "src/cli", file));
/** What `exec` loads, which is what start-up time is about: these and all that they import statically. */
const FAST_PATH: readonly string[] = ["src/cli/start-up.ts", "src/cli/commands/exec.ts"].map((path) =>
  join(ROOT, path),
);

/** What `run` loads besides, which is the other thing that people wait for: a sandbox's making, its start, and its end. */
const RUN_PATH: readonly string[] = [
  "src/cli/commands/run.ts",
  "src/vm/lifecycle/create.ts",
  "src/vm/lifecycle/start.ts",
  "src/vm/lifecycle/remove.ts",
  "src/vm/pool/take.ts",
  "src/vm/lifecycle/own-options.ts",
  "src/backends/qemu/migration.ts",
].map((path) => join(ROOT, path));

interface Graph {
  getModuleInfo(id: string): { readonly importedIds: readonly string[] } | null;
}

function staticImports(roots: readonly string[], graph: Graph): ReadonlySet<string> {
  const found = new Set<string>();
  const visit = (id: string): void => {
    if (found.has(id)) return;
    found.add(id);
    for (const imported of graph.getModuleInfo(id)?.importedIds ?? []) visit(imported);
  };
  roots.forEach(visit);
  return found;
}

/** A chunk of all that `roots` import statically. */
function chunk(name: string, roots: readonly string[], priority: number): object {
  let members: ReadonlySet<string> | undefined;
  return {
    priority,
    debugName: name,
    name: (id: string, graph: Graph): string | null => {
      members ??= staticImports(roots, graph); // asked only when the graph is complete
      return members.has(id) ? name : null;
    },
  };
}

/** Code with escapes for what is not ASCII: that is in strings, templates and regular expressions alone, where they mean the same. */
function inAscii(code: string): string {
  if (code.includes("String.raw"))
    throw new Error("String.raw`...` takes escapes literally: write its text otherwise");
  if (/\\[^\0-\x7f]/.test(code))
    throw new Error("a backslash before a character that is not ASCII: leave it out");
  return code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/**
 * Modules of Node's own that take from a third of a ms (readline) to 2.5 ms (crypto) to load, and that most commands do without, or until a machine
 * is starting and there is nothing else to do.
 */
const SLOW = [
  "child_process",
  "crypto",
  "fs/promises",
  "net",
  "readline",
  "stream",
  "stream/promises",
  "zlib",
];

/** Code that loads those when it first uses them, and not when it is loaded itself. */
function withSlowOnesLater(code: string): string {
  return SLOW.reduce((text, name) => {
    const variable = `node_${name.replace("/", "_")}`; // as the bundler calls it
    const load = `process.getBuiltinModule("node:${name}")`;
    return text
      .replace(`let ${variable} = require("node:${name}");\n`, "")
      .replace(new RegExp(`^${variable} = .*__toESM\\(${variable}, 1\\);\n`, "m"), "")
      .replace(new RegExp(`(?<![\\w$.])${variable}\\.`, "g"), `${load}.`);
  }, code);
}

/** What each command loads. */
const QUICK: readonly string[] = ["bin", "core", "run-path"];

/** Code of one of those with the one helper that it needs of the bundler's in itself, instead of in a file of its own. */
function withHelper(code: string): string {
  const whole = code
    .replace(
      'const require_rolldown_runtime = require("./rolldown-runtime.js");\n',
      "const exportAll = (all) => Object.defineProperties({}, Object.fromEntries(Object.entries(all).map(([name, get]) => [name, { get, enumerable: true }])));\n",
    )
    .replaceAll("require_rolldown_runtime.__exportAll(", "exportAll(");
  if (whole.includes("rolldown_runtime"))
    throw new Error(
      "a file of the quick ones needs more of the bundler's helpers: is there an import * of a module of Node's?",
    );
  return whole;
}

const build = await rolldown({
  input: { bin: join(ROOT, "src/cli/bin.ts") },
  platform: "node",
});
rmSync(OUT, { recursive: true, force: true });
const { output } = await build.write({
  dir: OUT,
  // Node loads CommonJS about 10 ms faster than ES modules, half of which is how it imports its own modules.
  format: "cjs",
  entryFileNames: "[name].js",
  // Without hashes: the compile cache is kept by file name, and would grow with every update.
  chunkFileNames: "[name].js",
  comments: false,
  codeSplitting: {
    groups: [chunk("bin", ENTRY, 3), chunk("core", FAST_PATH, 2), chunk("run-path", RUN_PATH, 1)],
  },
});
await build.close();
// One character outside Latin-1 makes Node keep a file as two bytes for each, and hash twice as much to find what it has compiled of it.
for (const file of output) {
  if (file.type !== "chunk") continue;
  const code = withSlowOnesLater(inAscii(file.code));
  writeFileSync(join(OUT, file.fileName), QUICK.includes(file.name) ? withHelper(code) : code);
}
writeFileSync(join(OUT, "package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);

// What every command loads before it does anything must stay quick to load.
const loads = QUICK.filter((name) => name !== "bin")
  .map((name) => `require(${JSON.stringify(join(OUT, `${name}.js`))});`)
  .join("");
const loaded = execFileSync(process.execPath, ["-p", `${loads}process.moduleLoadList.join()`], {
  encoding: "utf8",
});
for (const slow of SLOW)
  if (loaded.split(",").includes(`NativeModule ${slow}`))
    throw new Error(
      `${QUICK.join(", ")}: one uses node:${slow} while it is loaded, and not when it needs it`,
    );
for (const file of output) {
  if (file.type !== "chunk" || !QUICK.includes(file.name)) continue;
  // It is run as a script (host/files/compiled-code.ts), where Node warns of each import() that the bundler has left.
  if (/(?<![\w.$])import\(/.test(file.code))
    throw new Error(`${file.fileName} has an import() of a module of Node's`);
}

const bytes = output.reduce((sum, file) => sum + (file.type === "chunk" ? file.code.length : 0), 0);
console.log(`${relative(ROOT, OUT)}: ${output.length} files, ${Math.round(bytes / 1024)} KiB`);
