import { escapeTerminal } from "../../agent/terminal.ts";

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
