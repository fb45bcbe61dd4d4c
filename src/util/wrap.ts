/** The text broken at spaces into lines of at most `width` characters; a longer word has a line of its own. Pure. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line: string | undefined;
  for (const word of text.split(" ")) {
    if (line === undefined) line = word;
    else if (line.length + 1 + word.length <= width) line += ` ${word}`;
    else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line ?? ""];
}

/**
 * A line whose text goes on in the column where it began, if the terminal is too narrow for it: `name: text`. Pure.
 * @param lead what stands before the text; `leadWidth` columns of the terminal
 * @param columns of the terminal; undefined: there is none, and the line stays one
 */
export function hangingIndent(
  lead: string,
  text: string,
  columns: number | undefined,
  leadWidth: number = lead.length,
): string {
  const room = columns === undefined ? Number.POSITIVE_INFINITY : columns - leadWidth;
  // In a terminal of a few columns an indent would leave nothing for the text.
  if (room === Number.POSITIVE_INFINITY || room < 20) return `${lead}${text}`.trimEnd();
  return `${lead}${wrap(text, room).join(`\n${" ".repeat(leadWidth)}`)}`.trimEnd();
}
