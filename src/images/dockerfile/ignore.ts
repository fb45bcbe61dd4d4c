/** Whether a path of a build's context is left out. */
export type Ignored = (path: string) => boolean;

/**
 * Reads a .dockerignore: one pattern a line, later ones win, `!` takes back, `**` is any number of directories. What matches a directory is all that is in it. Pure.
 */
export function readIgnore(text: string): Ignored {
  const lines = text
    .replace(/^\ufeff/, "")
    .split(/\r?\n/)
    .map((line) => line.trim());
  return patternList(lines.filter((line) => line !== "" && !line.startsWith("#")));
}

/** What patterns leave out, as the lines of a .dockerignore are read. Pure. */
export function patternList(patterns: readonly string[]): Ignored {
  const rules = patterns.map((text) => {
    const keeps = text.startsWith("!");
    const pattern = clean(keeps ? text.slice(1).trim() : text);
    return { keeps, matches: globPattern(pattern, true) };
  });
  return (path) => {
    let ignored = false;
    for (const { keeps, matches } of rules) if (matches.test(path)) ignored = !keeps;
    return ignored;
  };
}

/** A path without what means nothing in it, relative to the context. Pure. */
export function clean(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return parts.join("/");
}

/**
 * A pattern as Go's filepath.Match has it, with `**` besides. Pure.
 * @param below what is in a directory that it matches is matched, too
 */
export function globPattern(pattern: string, below: boolean): RegExp {
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    if (char === "*" && pattern[at + 1] === "*") {
      at++;
      if (pattern[at + 1] === "/") {
        at++;
        source += "(?:.*/)?";
      } else source += ".*";
    } else if (char === "*") source += "[^/]*";
    else if (char === "?") source += "[^/]";
    else if (char === "[") {
      const end = pattern.indexOf("]", at + 2);
      if (end < 0) source += "\\[";
      else {
        source += `[${pattern
          .slice(at + 1, end)
          .replace(/\\/g, "\\\\")
          .replace(/^!/, "^")}]`;
        at = end;
      }
    } else if (char === "\\" && at + 1 < pattern.length) source += escapeRegExp(pattern[++at]!);
    else source += escapeRegExp(char);
  }
  return new RegExp(`^${source}${below ? "(?:/.*)?" : ""}$`, "s");
}

function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
}
