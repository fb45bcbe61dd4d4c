/**
 * Makes docs/errors.md and docs/sdk-reference.md from the sources' docstrings, the table in docs/lifecycle.md, and from what runs have
 * left (tests/escape-runs) docs/open-escapes.md, docs/restricted-escapes.md and the table in docs/network.md:
 *
 *   npm run docs
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ERROR_CODES, ERROR_HINTS, type ErrorCode, FILE_ERRNOS, isGone, SmolVMError } from "../src/errors.ts";
import { EscapeRuns, RUNS_DIR } from "../tests/helpers/escape-runs.ts";
import { openEscapes, restrictedEscapes, withEscapes } from "./docs-escapes.ts";
import { withPairs } from "./docs-pairs.ts";
import { type Declaration, publicSurface, type ReadSource } from "./docs-source.ts";

const GENERATED = "<!-- Made by `npm run docs` from the sources' docstrings: edit those. -->";

/** Words in capitals that are codes; two codes are ordinary words, and docstrings do not mean them. */
function isCode(word: string): word is ErrorCode {
  return word in ERROR_CODES && word !== "USAGE" && word !== "INTERNAL";
}

const CAPITALS = /\b[A-Z]+(?:_[A-Z]+)*\b/g;

/** Where on the reference page a call or type is: "SmolVM.run" has a heading, a member of an interface its interface's. */
function target(name: string, surface: readonly Declaration[]): string | undefined {
  const [owner, member] = name.split(".");
  const declaration = surface.find((other) => other.name === owner);
  if (declaration === undefined) return undefined;
  const heading = declaration.kind === "class" && declaration.members.some(({ name }) => name === member);
  return anchor(heading ? name : owner!);
}

/** The anchor that a heading gets. */
function anchor(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w -]/g, "")
    .replaceAll(" ", "-");
}

/** Markdown of a docstring: its tags as sentences, its links and codes as links. */
function markdown(doc: string, surface: readonly Declaration[], owner: string): string {
  return doc
    .replaceAll(/\{@link ([\w.]+)\}/g, (_, name: string) => {
      const at = target(name, surface) ?? target(`${owner}.${name}`, surface);
      return at === undefined ? `\`${name}\`` : `[${name}](#${at})`;
    })
    .replaceAll(/(?:^|\n)@param (\w+) /g, "\n\n`$1`: ")
    .replaceAll(/(?:^|\n)@throws SmolVMError ?/g, "\n\nThrows: ")
    .replaceAll(/(?:^|\n)@returns /g, "\n\nReturns ")
    .replaceAll(/\n{3,}/g, "\n\n")
    .replaceAll(CAPITALS, (word) => (isCode(word) ? `[${word}](errors.md#${anchor(word)})` : word))
    .trim();
}

/** A table of fields. */
function table(
  declaration: Declaration,
  isRow: (signature: string) => boolean,
  surface: readonly Declaration[],
) {
  const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll(/\n+/g, "<br>");
  const rows = declaration.members
    .filter(({ signature }) => isRow(signature))
    .map(({ signature, doc }) => {
      const code = cell(signature.replace(/^readonly /, ""));
      return `| \`${code}\` | ${cell(markdown(doc, surface, declaration.name))} |`;
    });
  return rows.length === 0 ? [] : [["| | |", "|---|---|", ...rows].join("\n")];
}

function section(declaration: Declaration, surface: readonly Declaration[]): string {
  const { name, kind, doc, signature, members } = declaration;
  const block = (code: string): string => `\`\`\`ts\n${code}\n\`\`\``;
  const words = (text: string): string[] => [markdown(text, surface, name)].filter((said) => said !== "");
  const parts = [`### ${name}`, block(signature), ...words(doc)];
  if (name === "ERROR_CODES") parts.push("All of them: [errors.md](errors.md).");
  if (kind !== "class") return [...parts, ...table(declaration, () => true, surface)].join("\n\n");
  const isField = (member: string): boolean => /^readonly /.test(member);
  parts.push(...table(declaration, isField, surface));
  for (const member of members.filter((other) => !isField(other.signature))) {
    parts.push(`#### ${name}.${member.name}`, block(member.signature), ...words(member.doc));
  }
  return parts.join("\n\n");
}

/** The page with all classes, functions and types. */
export function renderReference(read: ReadSource): string {
  const surface = publicSurface(read);
  const all = [...surface.values()].flat();
  const groups = [...surface].flatMap(([module, declarations]) => {
    const contents = declarations.map(({ name }) => `[${name}](#${anchor(name)})`).join(" · ");
    const title =
      module === ""
        ? "## Types that these use\n\nThey are not exported: they are parts of the types above."
        : `## ${module}\n\n${contents}`;
    return [title, ...declarations.map((declaration) => section(declaration, all))];
  });
  const intro = `Everything that \`smolvm\` and \`smolvm/backends\` export. Times are in milliseconds and sizes in bytes unless their name says
otherwise. What can go wrong: [errors.md](errors.md). A tour: [getting-started.md](getting-started.md).`;
  return `# SDK reference\n\n${GENERATED}\n\n${intro}\n\n${groups.join("\n\n")}\n`;
}

/** Which codes each call's docstring names in `@throws`; "as {@link X}" stands for what X throws. */
function promises(surface: readonly Declaration[]): Map<string, Set<ErrorCode>> {
  const docs = new Map<string, string>();
  for (const { name, kind, doc, members } of surface) {
    if (kind === "function") docs.set(name, doc);
    if (doc.includes("Every method may throw SmolVMError:")) docs.set(`${name}.*`, `@throws ${doc}`);
    for (const member of members) docs.set(`${name}.${member.name}`, member.doc);
  }
  const codesOf = (call: string, depth: number): Set<ErrorCode> => {
    const doc = docs.get(call) ?? "";
    // "As {@link read}" in a description means the errors, too.
    const said = /@throws ((?:(?!\n@).)*)/s.exec(doc)?.[1] ?? /\bAs \{@link \w+\}/.exec(doc)?.[0] ?? "";
    const codes = new Set<ErrorCode>();
    for (const [word] of said.matchAll(CAPITALS)) if (isCode(word)) codes.add(word);
    for (const [, link] of said.matchAll(/\b(?:[aA]s|and) \{@link ([\w.]+)\}/g)) {
      const other = [link!, `${call.split(".")[0]}.${link}`].find((name) => docs.has(name));
      if (other === undefined || depth > 2) continue;
      for (const code of codesOf(other, depth + 1)) codes.add(code);
    }
    const bootless = said.includes("but for the boot");
    return new Set([...codes].filter((code) => !(bootless && code.startsWith("BOOT_"))));
  };
  return new Map([...docs.keys()].map((call) => [call, codesOf(call, 0)] as const));
}

/** The page with every code, its meaning and the calls that name it. */
export function renderErrors(read: ReadSource): string {
  const surface = [...publicSurface(read).values()].flat();
  const calls = promises(surface);
  const link = (call: string): string => {
    const label = call.replace(/^(\w+)\.constructor$/, "new $1").replace(/^(\w+)\.\*$/, "every method of $1");
    return `[${label}](sdk-reference.md#${target(call, surface)})`;
  };
  const sections = Object.entries(ERROR_CODES).map(([code, meaning]) => {
    const by = [...calls].filter(([, codes]) => codes.has(code as ErrorCode)).map(([call]) => link(call));
    const sentence = `${meaning[0]!.toUpperCase()}${meaning.slice(1)}.`;
    const todo = ERROR_HINTS[code as ErrorCode];
    return `## ${code}\n\n${sentence}${goneNote(code as ErrorCode)}\n\nIts hint, where there is none more exact: ${todo}${by.length === 0 ? "" : `\n\nPromised by: ${by.join(", ")}`}`;
  });
  const errnos = Object.entries(FILE_ERRNOS).map(([errno, meaning]) => `| \`${errno}\` | ${meaning} |`);
  const table = ["| `details.errno` | |", "|---|---|", ...errnos].join("\n");
  return `# Errors\n\n${GENERATED}\n\n${INTRO}\n\n${ERRNO_INTRO}\n\n${table}\n\n${sections.join("\n\n")}\n`;
}

/** What `isGone` says of a code. */
function goneNote(code: ErrorCode): string {
  if (code === "VM_STATE")
    return " `isGone` is true of it where `details.state` says that the sandbox does not run.";
  return isGone(new SmolVMError(code, "")) ? " `isGone` is true of it." : "";
}

const INTRO = `Every error is a \`SmolVMError\`: a \`code\` of this page, a \`message\`, a \`hint\` that says what to do and ends in what to type, \`details\` for
programs, and the \`cause\` where there is one. The command line prints message and hint; \`--verbose\` adds code, details and
stack, and \`--json\` gives them as \`error\`. Codes are stable: none is renamed, no meaning is narrowed.

\`\`\`ts
import { isRunError } from "smolvm";

try {
  await vm.run("make", { timeoutMs: 60_000 });
} catch (error) {
  if (!isRunError(error, "RUN_TIMEOUT")) throw error;
  console.log(error.result.output); // what it had printed until then
}
\`\`\`

An error of a command that \`run\` had begun is a [RunError](sdk-reference.md#runerror): its \`result\` has what the command printed, and how it
ended as far as that is known. \`isSmolVMError(error, code)\` is the same for errors of every kind. Who prefers results to exceptions gets them for
a time that is over, an abort and too much output with \`ifStopped: "result"\`.

\`isGone(error)\` is true of the errors that say that the sandbox is gone or down, so that starting it again or making another one may help
([the life of a sandbox](lifecycle.md)); of all whose section does not mention it, it is false.

"Promised by" lists the calls whose documentation names the code. Others can come out of many calls (a full disk, a lost
machine), or of the command line only. What to do about the frequent ones: [troubleshooting.md](troubleshooting.md).`;

const ERRNO_INTRO = `## errno of file operations

A code stands for several errors of a kernel; \`details.errno\` has the error's name, of the guest's kernel (\`details.side\` is "guest") or of this
machine's ("host"). Where smolvm sees what is in the way before a kernel does, it is what that would have said; of what no kernel knows it is undefined. Each method of [GuestFiles](sdk-reference.md#guestfiles) names those that are its own;
these may come out of all, and others where a file system has others:`;

if (import.meta.main) {
  const root = join(import.meta.dirname, "..");
  const read: ReadSource = (path) => readFileSync(join(root, path), "utf8");
  writeFileSync(join(root, "docs/errors.md"), renderErrors(read));
  writeFileSync(join(root, "docs/sdk-reference.md"), renderReference(read));
  const lifecycle = join(root, "docs/lifecycle.md");
  writeFileSync(lifecycle, withPairs(readFileSync(lifecycle, "utf8")));
  const runs = EscapeRuns.read(RUNS_DIR);
  writeFileSync(join(root, "docs/open-escapes.md"), openEscapes(runs));
  writeFileSync(join(root, "docs/restricted-escapes.md"), restrictedEscapes(runs));
  const network = join(root, "docs/network.md");
  writeFileSync(network, withEscapes(readFileSync(network, "utf8"), runs));
}
