import { DockerfileParser, type Instruction as Parsed } from "dockerfile-ast";
import { SmolVMError } from "../../errors.ts";

/** A here-document of an instruction. */
export interface Heredoc {
  readonly name: string;
  /** variables in it are replaced: its name was not quoted */
  readonly expand: boolean;
  /** with a newline at the end of each line */
  readonly content: string;
}

/** One instruction as it stands in the file. */
export interface Instruction {
  /** in capitals */
  readonly keyword: string;
  /** of its first line, from 1 */
  readonly line: number;
  /** as `--name=value` before its arguments, in order */
  readonly flags: readonly { readonly name: string; readonly value: string | undefined }[];
  /** what follows, lines joined, without comments and here-documents */
  readonly text: string;
  readonly heredocs: readonly Heredoc[];
  /** all of it on one line, for people */
  readonly shown: string;
}

export interface ParsedDockerfile {
  /** the character that joins lines, and takes a dollar its meaning */
  readonly escaping: string;
  readonly instructions: readonly Instruction[];
}

const KEYWORDS: ReadonlySet<string> = new Set(
  "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split(
    " ",
  ),
);
const WITH_HEREDOCS: ReadonlySet<string> = new Set(["ADD", "COPY", "RUN"]);
/** Largest Dockerfile. */
export const DOCKERFILE_MAX_BYTES: number = 1024 * 1024;

/** Most instructions of one: what an image says of how it was made has an end. */
const MAX_INSTRUCTIONS = 10_000;

/**
 * Reads a Dockerfile.
 * @param name of it, for errors
 * @throws SmolVMError DOCKERFILE_INVALID with `details.line`
 */
export function parseDockerfile(content: string, name: string): ParsedDockerfile {
  const fail = (line: number, what: string): SmolVMError => dockerfileError(name, line, what);
  if (Buffer.byteLength(content) > DOCKERFILE_MAX_BYTES) throw fail(1, "it is larger than 1 MiB");
  if (content.includes("\0")) throw fail(1, "it is no text");
  const text = content.replace(/^\ufeff/, "").replace(/\r\n/g, "\n");
  const document = DockerfileParser.parse(text);
  const lines = text.split("\n");
  const escaping = document.getEscapeCharacter();
  const found = document.getInstructions();
  const tooMany = found.at(MAX_INSTRUCTIONS);
  if (tooMany !== undefined)
    throw fail(tooMany.getRange().start.line + 1, `it has more than ${MAX_INSTRUCTIONS} instructions`);
  const instructions = found.map((parsed): Instruction => {
    const { start, end } = parsed.getRange();
    const keyword = parsed.getKeyword();
    const line = start.line + 1;
    if (!KEYWORDS.has(keyword)) throw fail(line, `there is no instruction ${keyword.slice(0, 40)}`);
    const whole = lines.slice(start.line, end.line + 1);
    const heredocs = WITH_HEREDOCS.has(keyword) ? heredocsOf(parsed, lines, fail) : [];
    const firstHeredoc = heredocs.at(0)?.firstLine;
    const own = firstHeredoc === undefined ? whole : whole.slice(0, firstHeredoc - start.line);
    const joined = joinLines(own, escaping).trimStart().slice(keyword.length).trim();
    const { flags, rest } = takeFlags(joined);
    if (rest === "" && heredocs.length === 0) throw fail(line, `${keyword} has no arguments`);
    return { keyword, line, flags, text: rest, heredocs, shown: shown(keyword, joined) };
  });
  return { escaping, instructions };
}

/** The error for a Dockerfile that cannot be built. @param hint what to write instead */
export function dockerfileError(name: string, line: number, what: string, hint?: string): SmolVMError {
  return new SmolVMError("DOCKERFILE_INVALID", `${name}:${line}: ${what}`, {
    hint: hint ?? `Look at line ${line} of it. What is understood is in docs/builds.md`,
    details: { file: name, line },
  });
}

function heredocsOf(
  parsed: Parsed,
  lines: readonly string[],
  fail: (line: number, what: string) => SmolVMError,
): (Heredoc & { readonly firstLine: number })[] {
  const found = (parsed as unknown as { getHeredocs(): ParsedHeredoc[] }).getHeredocs();
  return found.map((heredoc) => {
    const { start } = heredoc.getStartRange();
    const opening = lines[start.line]!.slice(start.character);
    const [, dash, quote] = /^<<(-?)(["']?)/.exec(opening) ?? ["", "", ""];
    const range = heredoc.getContentRange();
    // One of no lines has no range.
    const delimiter = heredoc.getDelimiterRange();
    if (delimiter === null)
      throw fail(
        start.line + 1,
        `the here-document '${heredoc.getName()}' has no end: no line is that alone`,
      );
    const content = range === null ? [] : lines.slice(range.start.line, range.end.line + 1);
    const stripped = dash === "-" ? content.map((line) => line.replace(/^\t+/, "")) : content;
    return {
      name: heredoc.getName(),
      expand: quote === "",
      content: stripped.map((line) => `${line}\n`).join(""),
      firstLine: range?.start.line ?? delimiter.start.line,
    };
  });
}

interface ParsedHeredoc {
  getName(): string;
  getStartRange(): Place;
  getContentRange(): Place | null;
  getDelimiterRange(): Place | null;
}

interface Place {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

/** One line of several that end in the escape character; comments and empty lines between them mean nothing. */
function joinLines(lines: readonly string[], escaping: string): string {
  let joined = "";
  for (const [index, line] of lines.entries()) {
    if (index > 0 && (/^\s*#/.test(line) || line.trim() === "")) continue;
    const trimmed = line.trimEnd();
    joined += trimmed.endsWith(escaping) ? trimmed.slice(0, -1) : line;
  }
  return joined;
}

function takeFlags(text: string): { flags: Instruction["flags"]; rest: string } {
  const flags: { name: string; value: string | undefined }[] = [];
  let rest = text;
  for (;;) {
    const match = /^--([a-z][a-z0-9-]*)(?:=((?:"[^"]*"|'[^']*'|[^\s"'])*))?(?:\s+|$)/.exec(rest);
    if (match === null) return { flags, rest };
    flags.push({ name: match[1]!, value: match[2]?.replace(/["']/g, "") });
    rest = rest.slice(match[0].length);
  }
}

function shown(keyword: string, joined: string): string {
  const line = `${keyword} ${joined}`.replace(/\s+/g, " ").trim();
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}
