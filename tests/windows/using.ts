/**
 * `await using` for a Node that does not know it: each block that has one is given a {@link Scope}, which ends as the block does, however it is left.
 * Where a block ends is told by indentation, which the formatter keeps. No line moves.
 */

/** What a block has taken by `await using`. */
export class Scope {
  readonly #taken: (AsyncDisposable | null | undefined)[] = [];

  set taken(value: AsyncDisposable | null | undefined) {
    this.#taken.push(value);
  }

  /** The last is the first; the others go all the same when one fails. @throws what failed first */
  async end(): Promise<void> {
    const errors: unknown[] = [];
    for (const value of this.#taken.splice(0).toReversed()) {
      try {
        await value?.[Symbol.asyncDispose]();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

/** A source without `await using`; it finds `Scope` as a global. Pure. @param name of the file, for what is thrown */
export function withoutUsing(source: string, name: string): string {
  if (!/^ +await using /m.test(source)) return source;
  const lines = source.split("\n");
  const ofText = linesOfText(lines);
  const indentOf = (line: string): number => line.search(/\S/);
  /** of each open block its indentation */
  const open: number[] = [];
  const scope = (): string => `scope${open.length}`;
  const changed = lines.map((line, index) => {
    if (ofText[index] || line.trim() === "") return line;
    const indent = indentOf(line);
    let ends = "";
    while (open.length > 0 && indent < open.at(-1)!) {
      if (!/^ *\}/.test(line))
        throw new Error(
          `${name}:${index + 1}: a block with 'await using' ends in another way than by a brace`,
        );
      ends += `} finally { await ${scope()}.end(); } `;
      open.pop();
    }
    const [, before, variable, rest] = /^( +)await using (\w+) = (.*)$/.exec(line) ?? [];
    if (variable === undefined) return ends + line;
    const isFirst = open.at(-1) !== indent;
    if (isFirst) open.push(indent);
    const begin = isFirst ? `const ${scope()} = new Scope(); try { ` : "";
    return `${ends}${before}${begin}const ${variable} = ${scope()}.taken = ${rest}`;
  });
  if (open.length > 0) throw new Error(`${name}: a block with 'await using' does not end`);
  return changed.join("\n");
}

/** Of each line whether it begins within a text in backticks. */
function linesOfText(lines: readonly string[]): boolean[] {
  let inside = false;
  return lines.map((line) => {
    const was = inside;
    const ticks = line.replaceAll(/\\./g, "").split("`").length - 1;
    if (ticks % 2 === 1) inside = !inside;
    return was;
  });
}
