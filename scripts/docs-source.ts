/**
 * Reads declarations and their docstrings from our sources, for the pages that scripts/docs.ts makes.
 *
 * The sources are read as text. Their formatter makes that safe: a declaration begins in the first column and ends with a
 * line that begins there, its members are indented by two spaces. (This TypeScript has no parser that a program can call
 * without starting another one.)
 */
import { posix } from "node:path";

/** A declaration or a member of one. */
export interface Item {
  readonly name: string;
  readonly doc: string;
  /** as it is declared, without bodies, initial values of functions, and comments */
  readonly signature: string;
}

export interface Declaration extends Item {
  readonly kind: "class" | "interface" | "type" | "function" | "const";
  readonly path: string;
  readonly members: readonly Item[];
  /** re-exported by an entry point: users can import it */
  readonly exported: boolean;
}

/** Public only for tests: users have no use for them. */
const INTERNAL: ReadonlySet<string> = new Set(["BackendHost"]);

/** What users import, and from where. */
const ENTRIES: readonly { readonly module: string; readonly path: string }[] = [
  { module: "smolvm", path: "src/index.ts" },
  { module: "smolvm/backends", path: "src/backends.ts" },
];

/** Reads a source file, given its path in the repository. */
export type ReadSource = (path: string) => string;

/** The text of a doc comment without its stars, its lines joined to paragraphs; code and lists keep their lines. */
function docText(comment: string): string {
  const lines = comment
    .replace(/^\s*\/\*\*/, "")
    .replace(/\*\/\s*$/, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\* ?/, "").trimEnd());
  let text = "";
  for (const line of lines) {
    const joins =
      text !== "" && !/\n$/.test(text) && !/^(?: {4}|\s*$|@)/.test(line) && !/\n {4}[^\n]*$/.test(text);
    text += joins ? ` ${line.trim()}` : `${text === "" ? "" : "\n"}${line}`;
  }
  return text.replaceAll(/[ \t]*(@(?:throws|param|returns|internal))/g, "\n$1").trim();
}

/** How deep in brackets a line leaves one, strings and comments aside. */
function depthOf(line: string): number {
  const code = line.replaceAll(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`|\/\/.*$|\/\*.*?\*\//g, "");
  return code.split(/[([{]/).length - code.split(/[)\]}]/).length;
}

/** The statement that begins at `from`: up to its `;`, or to the `{` of its body. */
function statement(lines: readonly string[], from: number): { text: string; body: boolean; end: number } {
  let depth = 0;
  const parts: string[] = [];
  for (let at = from; at < lines.length; at++) {
    const line = lines[at]!.trim();
    if (!/^(?:\/\*\*.*\*\/|\/\/.*)$/.test(line)) parts.push(line);
    depth += depthOf(line);
    const body = depth === 1 && line.endsWith(" {");
    if (body || (depth === 0 && /[;}]$/.test(line))) return { text: parts.join("\n"), body, end: at };
  }
  throw new Error(`a declaration does not end: ${lines[from]}`);
}

/** A signature on one line, as far as it has no lines of its own that matter. */
function oneLine(text: string): string {
  return text
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll(/([([]) /g, "$1")
    .replaceAll(/,? ([)\]])/g, "$1")
    .replace(/ ?\{$|;$| ?\{\}$/, "")
    .replace(/ = \|/, " =");
}

/** The members of a class or an interface: what is indented by two spaces between its first and last line. */
function membersOf(lines: readonly string[]): Item[] {
  const members: Item[] = [];
  let doc = "";
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    if (/^ {2}\/\*\*/.test(line)) {
      const end = lines.findIndex((other, index) => index >= at && other.trimEnd().endsWith("*/"));
      doc = docText(lines.slice(at, end + 1).join("\n"));
      at = end;
    } else if (/^ {2}[A-Za-z[#*]/.test(line)) {
      const { text, body, end } = statement(lines, at);
      at = body ? lines.findIndex((other, index) => index > end && /^ {2}\}/.test(other)) : end;
      const signature = oneLine(text)
        .replace(/^(?:override |async |static |\*)+/, (words) => (words.includes("static") ? "static " : ""))
        .replace(/^(static readonly \w+: \w+) =.*$/, "$1");
      const name = /^(?:static |readonly |get )*([\w#]+|\[[^\]]+\])/.exec(signature)![1]!;
      // The implementation of overloads repeats the name and has no words of its own.
      const implementation = body && doc === "" && members.some((member) => member.name === name);
      const hidden =
        /^(?:private|protected|static #|readonly #|#)/.test(signature) || doc.includes("@internal");
      if (!hidden && !implementation) members.push({ name, doc, signature });
      doc = "";
    }
  }
  return members;
}

/** The declaration of a name in a source. */
function declarationOf(
  source: string,
  path: string,
  name: string,
  exported: boolean,
): Declaration | undefined {
  const lines = source.split("\n");
  const head = new RegExp(`^export (?:async )?(class|interface|type|function|const) ${name}\\b`);
  const at = lines.findIndex((line) => head.test(line));
  if (at < 0) return undefined;
  const kind = head.exec(lines[at]!)![1] as Declaration["kind"];
  let doc = "";
  if (lines[at - 1]?.trimEnd().endsWith("*/")) {
    let start = at - 1;
    while (!lines[start]!.startsWith("/**")) start--;
    doc = docText(lines.slice(start, at).join("\n"));
  }
  const first = lines[at]!.replace("export ", "").replace("async ", "");
  const { text, body, end } = statement([first, ...lines.slice(at + 1)], 0);
  const signature = oneLine(text).replace(/^(const [^=]*: [^=]*) = .*$/, "$1");
  const last = lines.findIndex((line, index) => index > at && line === "}");
  const members =
    body && (kind === "class" || kind === "interface") ? membersOf(lines.slice(at + end + 1, last)) : [];
  // Nobody makes an object of a class that is not exported.
  const usable = members.filter((member) => exported || member.name !== "constructor");
  return {
    name,
    kind,
    doc,
    path,
    signature: kind === "const" && /^const \w+ = \{/.test(text) ? `const ${name}` : signature,
    members: usable,
    exported,
  };
}

/** Which names a source imports from which of our files; re-exports count too. */
function importsOf(source: string, path: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, names, from] of source.matchAll(
    /^(?:import|export) (?:type )?\{([^}]*)\} from "(\.[^"]+)";/gm,
  )) {
    for (const name of names!.split(",").map((word) => word.trim().replace(/^type /, ""))) {
      if (name !== "") found.set(name, posix.join(posix.dirname(path), from!));
    }
  }
  return found;
}

/** What users can import, by module, and under "" the types that only appear in those. */
export function publicSurface(read: ReadSource): Map<string, Declaration[]> {
  const surface = new Map<string, Declaration[]>();
  const seen = new Map<string, Declaration>();
  for (const { module, path } of ENTRIES) {
    const declarations = [...importsOf(read(path), path)].map(([name, from]) => {
      const declaration = declarationOf(read(from), from, name, true);
      if (declaration === undefined)
        throw new Error(`${path} exports ${name}, which ${from} does not declare`);
      seen.set(name, declaration);
      return declaration;
    });
    surface.set(module, declarations);
  }
  const others: Declaration[] = [];
  const waiting = [...seen.values()];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    const source = read(next.path);
    const imports = importsOf(source, next.path);
    const text = [next.signature, ...next.members.map((member) => member.signature)].join("\n");
    for (const name of new Set(text.replaceAll(/"[^"]*"/g, "").match(/\b[A-Z]\w+/g))) {
      if (seen.has(name) || INTERNAL.has(name)) continue;
      const path = imports.get(name) ?? next.path;
      const found = declarationOf(read(path), path, name, false);
      if (found === undefined) continue; // the language's or Node's own
      seen.set(name, found);
      others.push(found);
      waiting.push(found);
    }
  }
  surface.set(
    "",
    others.sort((a, b) => (a.name < b.name ? -1 : 1)),
  );
  return surface;
}
