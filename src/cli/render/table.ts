import { escapeTerminal } from "../../agent/terminal.ts";

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
  const cells = [
    columns.map((column) => column.head),
    ...rows.map((row) => row.map((cell) => escapeTerminal(cell))),
  ];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => width(row[i] ?? ""))));
  return cells
    .map((row) =>
      row
        .map((cell, i) => {
          const pad = " ".repeat(widths[i]! - width(cell));
          return columns[i]!.align === "right" ? pad + cell : cell + pad;
        })
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** `name: value` lines, the values in one column. Pure; values are escaped, lines without a value left out. */
export function renderFields(fields: readonly (readonly [string, string | undefined])[]): string {
  const shown = fields.filter((field): field is readonly [string, string] => field[1] !== undefined);
  const widest = Math.max(0, ...shown.map(([name]) => name.length));
  return shown
    .map(([name, value]) => `${`${`${name}:`.padEnd(widest + 2)}${escapeTerminal(value)}`.trimEnd()}\n`)
    .join("");
}

function width(text: string): number {
  return [...text].length;
}
