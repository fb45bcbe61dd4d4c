import { escapeTerminal } from "../../util/escape-terminal.ts";
import { hangingIndent } from "../../util/wrap.ts";

/** A column: its head, and whether it holds numbers. */
export interface Column {
  readonly head: string;
  readonly align?: "right";
}

/**
 * Columns as wide as their widest cell, two spaces between, nothing after the last one. Pure.
 * Cells may come from a guest or a user: control characters are made visible. No rows: the head alone.
 */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map((column) => column.head), ...rows.map((row) => row.map(shown))];
  const widths = columns.map((_, i) => cells.reduce((most, row) => Math.max(most, width(row[i] ?? "")), 0));
  const padded = (cell: string, i: number): string => {
    const units = widths[i]! + cell.length - width(cell);
    return columns[i]!.align === "right" ? cell.padStart(units) : cell.padEnd(units);
  };
  return cells.map((row) => `${row.map(padded).join("  ").trimEnd()}\n`).join("");
}

/**
 * `name: value` lines, the values in one column. Pure; values are escaped, lines without a value left out.
 * @param columns of the terminal, so that long values stay in their column; undefined: a line each
 */
export function renderFields(
  fields: readonly (readonly [string, string | undefined])[],
  columns?: number,
): string {
  const given = fields.filter((field): field is readonly [string, string] => field[1] !== undefined);
  const widest = Math.max(0, ...given.map(([name]) => name.length));
  return given
    .map(([name, value]) => {
      const lead = `${name}:`.padEnd(widest + 2);
      return `${hangingIndent(lead, escapeTerminal(value), columns)}\n`;
    })
    .join("");
}

/** Cells that are nothing but printable ASCII, as nearly all are, need no closer look. */
const PLAIN = /^[\x20-\x5b\x5d-\x7e]*$/;

function shown(cell: string): string {
  return PLAIN.test(cell) ? cell : escapeTerminal(cell);
}

/** In code points. */
function width(text: string): number {
  return PLAIN.test(text) ? text.length : [...text].length;
}
