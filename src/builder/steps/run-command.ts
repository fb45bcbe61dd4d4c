import type { Instruction } from "../../images/dockerfile/parse.ts";
import { commandOf, jsonWords, type StageState } from "../../images/dockerfile/state.ts";

/** What RUN runs. */
export interface RunCommand {
  readonly command: readonly string[];
  /** a here-document that says what it is for (#!/usr/bin/env python3), and is executed itself instead of the command */
  readonly script: string | undefined;
  /** as the image's history tells of it */
  readonly createdBy: string;
}

/** Pure. */
export function runCommand(state: StageState, { text, heredocs }: Instruction): RunCommand {
  const shell = state.config.Shell ?? ["/bin/sh", "-c"];
  // Here-documents are the shell's, unless one is all that there is.
  const first = heredocs[0];
  const isAll = first !== undefined && heredocs.length === 1 && /^<<-?["']?\w+["']?$/.test(text);
  const whole = isAll
    ? first.content
    : [text, ...heredocs.map(({ name, content }) => `${content}${name}`)].join("\n");
  const says = `RUN ${jsonWords(text) === undefined ? shell.join(" ") : ""} ${whole}`;
  return {
    command: heredocs.length > 0 ? [...shell, whole] : commandOf(state, text),
    script: isAll && first.content.startsWith("#!") ? first.content : undefined,
    createdBy: says.replace(/ {2,}/, " ").trim(),
  };
}
