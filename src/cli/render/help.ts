import { wrap } from "../../util/wrap.ts";
import { type CommandSpec, invocation, type OptionSpec } from "../command.ts";

/** Characters in a line of help: what a terminal has that nobody has made wider. */
const WIDTH = 80;

/** A line of the overview: a command and what it does. */
export interface CommandLine {
  readonly name: string;
  readonly summary: string;
}

/** The help of one command. Pure. */
export function renderCommandHelp(spec: CommandSpec, summary: string): string {
  const parts = [`${summary}\n\nUsage: ${invocation(spec)} ${spec.usage}\n`];
  if (spec.options.length > 0)
    parts.push(`Options:\n${columns(spec.options.map((option) => [optionWords(option), option.help]))}`);
  for (const note of spec.notes ?? []) parts.push(`${wrap(note, WIDTH).join("\n")}\n`);
  if (spec.examples.length > 0)
    parts.push(`Examples:\n${spec.examples.map((line) => `  ${line}\n`).join("")}`);
  return parts.join("\n");
}

/** The overview: what `smolvm` and `smolvm help` print, or that of a group such as `image`. Pure. */
export function renderOverview(options: {
  readonly usage: string;
  readonly summary: string;
  readonly groups: readonly { readonly title: string; readonly commands: readonly CommandLine[] }[];
  readonly foot: string;
}): string {
  const widest = Math.max(
    ...options.groups.flatMap((group) => group.commands.map((command) => command.name.length)),
  );
  const groups = options.groups.map(
    (group) =>
      `${group.title}:\n${columns(
        group.commands.map((command) => [command.name, command.summary] as const),
        widest,
      )}`,
  );
  return [`${options.summary}\n\nUsage: ${options.usage}\n`, ...groups, options.foot].join("\n");
}

function optionWords(option: OptionSpec): string {
  const short = option.short === undefined ? "    " : `-${option.short}, `;
  const value = option.value === undefined ? "" : ` ${option.value}`;
  return `${short}--${option.name}${value}`;
}

function columns(rows: readonly (readonly [string, string])[], atLeast = 0): string {
  const widest = Math.max(atLeast, ...rows.map(([left]) => left.length));
  const indent = " ".repeat(widest + 4);
  return rows
    .map(([left, right]) => {
      const lines = wrap(right, WIDTH - indent.length);
      return `  ${left.padEnd(widest)}  ${lines.join(`\n${indent}`)}\n`;
    })
    .join("");
}
