/**
 * What of the tests is not run on a host or a guest, and why. Of a list the first that matches counts. Pure.
 */
export interface LeftOut {
  /** from the checkout on */
  readonly file: string;
  /** of its tests' names; absent: all of the file */
  readonly name?: RegExp;
  readonly why: string;
}

/** Why a test is not run, or undefined if it is. */
export function leftOut(list: readonly LeftOut[], file: string, fullName: string): string | undefined {
  return list.find((entry) => entry.file === file && (entry.name?.test(fullName) ?? true))?.why;
}

/** Why nothing of a file is run, or undefined. */
export function fileLeftOut(list: readonly LeftOut[], file: string): string | undefined {
  return list.find((entry) => entry.file === file && entry.name === undefined)?.why;
}
