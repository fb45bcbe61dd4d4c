import { globSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

export interface Import {
  /** file that imports, relative to src/ */
  readonly from: string;
  /** what it names: a path relative to src/, or a package */
  readonly to: string;
  readonly local: boolean;
  readonly typeOnly: boolean;
}

/** `import|export [type] ... from "x"` and `import("x")`; comments do not hold such lines here. */
const STATEMENT =
  /^(?:import|export)\s+(type\s)?(?:([^;"]*?)\sfrom\s+)?"([^"]+)"|import\(\s*"([^"]+)"\s*\)/gm;

/** The imports of one file. */
export function importsOf(file: string, text: string): Import[] {
  return [...text.matchAll(STATEMENT)].map((match) => {
    const target = match[3] ?? match[4] ?? "";
    const local = target.startsWith(".");
    const names = (match[2] ?? "").trim();
    const onlyTypes = /^\{(?:\s*type\s[^,}]*,?)+\s*\}$/.test(names);
    return {
      from: file,
      to: local ? posix.normalize(posix.join(posix.dirname(file), target)) : target,
      local,
      typeOnly: match[1] !== undefined || onlyTypes,
    };
  });
}

/** All files of a directory of sources, with `/`, and all that they import. */
export function readImports(directory: string): { readonly files: string[]; readonly imports: Import[] } {
  const files = globSync("**/*.ts", { cwd: directory }).map((file) => file.replaceAll("\\", "/"));
  return {
    files,
    imports: files.flatMap((file) => importsOf(file, readFileSync(join(directory, file), "utf8"))),
  };
}

/** A circle in a graph, as the way around it from a node back to the same; undefined: there is none. */
export function findCircle(next: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): string[] | undefined => {
    const at = path.indexOf(node);
    if (at >= 0) return [...path.slice(at), node];
    if (done.has(node)) return undefined;
    for (const to of next.get(node) ?? []) {
      const circle = visit(to, [...path, node]);
      if (circle !== undefined) return circle;
    }
    done.add(node);
    return undefined;
  };
  for (const node of next.keys()) {
    const circle = visit(node, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}
