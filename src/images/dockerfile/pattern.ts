/** A character as it is, or "any" one. */
type One = { readonly is: string } | "any";
/** A part of a pattern: a character, or any number of them. */
export type PatternPart = One | "many";

/** From where to where something matches, in characters; of these there may be two in a character of JavaScript's. */
interface Match {
  readonly from: number;
  readonly to: number;
}

/**
 * Takes what a pattern matches away from a value's beginning or end, as `${A#pattern}` and `${A%pattern}` do. Pure.
 * @param longest the longest match (`##`, `%%`), and not the shortest
 */
export function without(
  value: string,
  pattern: readonly PatternPart[],
  from: "start" | "end",
  longest: boolean,
): string {
  const text = [...value];
  if (from === "end") text.reverse();
  const runs = runsOf(from === "end" ? pattern.toReversed() : pattern);
  const match = matchAt(text, runs, 0, longest);
  const rest = text.slice(match?.to ?? 0);
  return (from === "end" ? rest.reverse() : rest).join("");
}

/**
 * Puts something for what a pattern matches; of several matches that begin there the longest. Pure.
 * @param options `each`: each time, and not the first alone; `maxLength`: with more than that nothing more is looked for
 */
export function replaced(
  value: string,
  pattern: readonly PatternPart[],
  replacement: string,
  { each, maxLength }: { readonly each: boolean; readonly maxLength: number },
): string {
  if (pattern.length === 0) return value;
  const text = [...value];
  const runs = runsOf(pattern);
  let result = "";
  let at = 0;
  do {
    const match = firstMatch(text, runs, at);
    if (match === undefined) break;
    result += text.slice(at, match.from).join("") + replacement;
    at = match.to;
  } while (each && at < text.length && result.length < maxLength);
  return result + text.slice(at).join("");
}

/** The runs of single characters between those of any number: so many of these as there are runs, less one. */
function runsOf(pattern: readonly PatternPart[]): One[][] {
  const runs: One[][] = [[]];
  for (const part of pattern)
    if (part === "many") runs.push([]);
    else runs.at(-1)!.push(part);
  return runs;
}

/** The first match at or behind a place. If what follows the first run is not behind its first place, it is behind no later one either. */
function firstMatch(text: readonly string[], runs: readonly One[][], at: number): Match | undefined {
  const from = runPlace(text, runs[0]!, at);
  return from === undefined ? undefined : matchAt(text, runs, from, true);
}

/** The match that begins at a place: each run where it is first, and for the longest one the last run where it is last. */
function matchAt(
  text: readonly string[],
  runs: readonly One[][],
  from: number,
  longest: boolean,
): Match | undefined {
  const [first, ...others] = runs;
  if (!isAt(text, first!, from)) return undefined;
  let to = from + first!.length;
  for (const [index, run] of others.entries()) {
    const isLast = index === others.length - 1;
    const place = isLast && longest ? lastRunPlace(text, run, to) : runPlace(text, run, to);
    if (place === undefined) return undefined;
    to = place + run.length;
  }
  return { from, to };
}

function isAt(text: readonly string[], run: readonly One[], at: number): boolean {
  return (
    at + run.length <= text.length && run.every((one, index) => one === "any" || one.is === text[at + index])
  );
}

function runPlace(text: readonly string[], run: readonly One[], from: number): number | undefined {
  for (let at = from; at + run.length <= text.length; at++) if (isAt(text, run, at)) return at;
  return undefined;
}

function lastRunPlace(text: readonly string[], run: readonly One[], from: number): number | undefined {
  for (let at = text.length - run.length; at >= from; at--) if (isAt(text, run, at)) return at;
  return undefined;
}
