/**
 * What of the tests is not run by the Windows Node, and why. The first that matches counts. `sample`: only CI leaves it out, `--long` runs it.
 */
export interface LeftOut {
  readonly file: string;
  /** of its tests' names; absent: all of the file */
  readonly name?: RegExp;
  readonly why: string;
}

export const LEFT_OUT: readonly LeftOut[] = [
  {
    file: "tests/contract/commands.test.ts",
    name: /of a guest that hangs/,
    why: "Windows has no SIGSTOP to let a VMM hang by",
  },
  {
    file: "tests/contract/files.test.ts",
    name: /directories keep contents, modes, times and links/,
    why: "Windows' files have no mode, and wine makes no symbolic links; tests/windows/tests/verbs.test.ts copies trees",
  },
  {
    file: "tests/contract/life.test.ts",
    name: /is made longer and shorter/,
    why: "it looks for processes in /proc",
  },
];

/** Why a test is not run, or undefined if it is. Pure. */
export function leftOut(file: string, fullName: string): string | undefined {
  return LEFT_OUT.find((entry) => entry.file === file && (entry.name?.test(fullName) ?? true))?.why;
}
