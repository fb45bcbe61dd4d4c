/** Most characters of it: a guest can print what it likes. */
const MAX_CHARS = 200;

/** Why a guest's kernel panicked, in its own words on the console; undefined: it does not say that it did. Pure. */
export function kernelPanic(console: string): string | undefined {
  // What stands at the end of a panic repeats it.
  const said = [...console.matchAll(/(?<!end )Kernel panic - not syncing: ([^\r\n]*)/g)].at(-1)?.[1];
  return said && printable(said);
}

/** A line of a guest's, fit to stand in a message of ours. Pure. */
export function printable(line: string): string {
  return line
    .replaceAll(/\p{Cc}+/gu, " ")
    .trim()
    .slice(0, MAX_CHARS);
}
