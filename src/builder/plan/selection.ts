import { clean, type Ignored, patternList } from "../../images/dockerfile/ignore.ts";

/** What COPY and ADD say of their sources besides the names. */
export interface CopyFilter {
  /** names keep the directories above them */
  readonly parents: boolean;
  /** patterns of what is left out, relative to each source that is a directory (with `parents` to where names begin) */
  readonly exclude: readonly string[];
}

export const WHOLE: CopyFilter = { parents: false, exclude: [] };

/** Whether a source may be several files, or none. Pure. */
export function hasPattern(source: string): boolean {
  return /[*?[]/.test(source);
}

/** What is left out of what is copied. Pure. */
export function leftOut({ exclude }: CopyFilter): Ignored {
  return patternList(exclude);
}

/** A source of `COPY --parents`: the directory that names begin in (after it comes `/./`), and what is copied of it. Both are relative. Pure. */
export function pivotOf(source: string): { readonly base: string; readonly pattern: string } {
  const at = source.indexOf("/./");
  return at < 0
    ? { base: "", pattern: clean(source) }
    : { base: clean(source.slice(0, at)), pattern: clean(source.slice(at + 3)) };
}

/** The directories that a pattern names outright, before any that may be several; all of it, if it is no pattern. Pure. */
export function literalPart(pattern: string): string {
  const parts = pattern.split("/");
  const first = parts.findIndex(hasPattern);
  return first < 0 ? pattern : parts.slice(0, first).join("/");
}

/** The directories above a path, the highest first, and with `itself` that as well. Pure. */
export function directoriesAbove(path: string, itself: boolean): string[] {
  const parts = path === "" ? [] : path.split("/");
  const last = itself ? parts.length : parts.length - 1;
  return parts.slice(0, Math.max(0, last)).map((_, index) => parts.slice(0, index + 1).join("/"));
}
