import { escapeTerminal } from "../../util/escape-terminal.ts";

const MAX_LINE = 16_384;

/**
 * Text whose lines stay lines, while whatever else could steer a terminal is made visible. Pure.
 * Unlike in a table cell a backslash stays one: errors and logs hold commands to copy, and nothing reads them back.
 */
export function visibleLines(text: string): string {
  return text
    .split(/\r*\n/) // a serial console ends its lines with CR LF
    .map((line) => escapeTerminal(line, MAX_LINE).replaceAll("\\\\", "\\"))
    .join("\n");
}

/** {@link visibleLines} of a text that comes in pieces. Nothing is held back but what could be half of a line's end. */
export class VisibleStream {
  #held = "";

  /** The next piece, ready to be shown. */
  push(text: string): string {
    const all = this.#held + text;
    const shown = all.replace(/\r+$/, "");
    this.#held = all.slice(shown.length).slice(-1); // any number of them ends a line like one
    return visibleLines(shown);
  }

  /** What was held back. */
  end(): string {
    const held = this.#held;
    this.#held = "";
    return visibleLines(held);
  }
}
