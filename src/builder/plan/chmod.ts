import type { Fail } from "./errors.ts";

/** What becomes of a mode (permission bits): one for all, or by what it was. */
export type Chmod = number | ((before: number, isDirectory: boolean) => number);

/** The mode after; `chmod` undefined: as before. Pure. */
export function changed(chmod: Chmod | undefined, before: number, isDirectory: boolean): number {
  if (chmod === undefined) return before;
  return typeof chmod === "number" ? chmod : chmod(before, isDirectory);
}

/** One change: whose bits, which way, which of them. */
interface Change {
  readonly who: number;
  readonly operator: string;
  readonly permissions: string;
}

/** The bits of one class, set-id and sticky ones included. */
const WHO: Readonly<Record<string, number>> = { u: 0o4700, g: 0o2070, o: 0o1007, a: 0o7777 };
const SHIFT: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };
const CLAUSE = /^[ugoa]*(?:[+\-=](?:[rwxXst]*|[ugo]))+$/;

/**
 * Reads what `--chmod` says: octal digits, or what chmod(1) takes (`u=rwX,go=rX`, `+x`, `g=u`). Where nobody is named all are meant, whatever the umask is.
 * @returns undefined: it is neither. Pure
 */
export function parseChmod(text: string): Chmod | undefined {
  if (/^[0-7]{1,5}$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    return mode > 0o7777 ? undefined : mode;
  }
  const changes: Change[] = [];
  for (const clause of text.split(",")) {
    if (!CLAUSE.test(clause)) return undefined;
    const named = /^[ugoa]*/.exec(clause)![0];
    const who = named === "" ? 0o7777 : [...named].reduce((bits, one) => bits | WHO[one]!, 0);
    for (const [, operator, permissions] of clause.matchAll(/([+\-=])([^+\-=]*)/g))
      changes.push({ who, operator: operator!, permissions: permissions! });
  }
  return (before, isDirectory) => {
    let mode = before;
    for (const { who, operator, permissions } of changes) {
      const bits = bitsOf(permissions, mode, isDirectory || (before & 0o111) !== 0) & who;
      if (operator === "+") mode |= bits;
      else if (operator === "-") mode &= ~bits;
      else mode = (mode & ~who) | bits;
    }
    return mode;
  };
}

/** The mode of `--chmod`. Pure. @throws what `fail` makes */
export function modeOf(chmod: string, fail: Fail): Chmod {
  const mode = parseChmod(chmod);
  if (mode !== undefined) return mode;
  throw fail(`--chmod=${chmod} is no mode`, "Give octal digits (755), or what chmod takes: u=rwX,go=rX");
}

/** For all classes at once. @param runs what `X` goes by */
function bitsOf(permissions: string, mode: number, runs: boolean): number {
  let bits = 0;
  for (const one of permissions) {
    const from = SHIFT[one];
    if (from !== undefined) bits |= ((mode >> from) & 7) * 0o111;
    else if (one === "r") bits |= 0o444;
    else if (one === "w") bits |= 0o222;
    else if (one === "x") bits |= 0o111;
    else if (one === "X") bits |= runs ? 0o111 : 0;
    else if (one === "s") bits |= 0o6000;
    else bits |= 0o1000;
  }
  return bits;
}
