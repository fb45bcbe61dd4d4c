import type { SmolVMError } from "../../errors.ts";
import { dockerfileError } from "../../images/dockerfile/parse.ts";
import { WordError } from "../../images/dockerfile/words.ts";

/** Makes the error for one line of a Dockerfile. @param hint what to write instead */
export type Fail = (what: string, hint?: string) => SmolVMError;

export function failAt(file: string, line: number): Fail {
  return (what, hint) => dockerfileError(file, line, what, hint);
}

/** What is wrong with words is told with the line. @throws SmolVMError DOCKERFILE_INVALID */
export function atLine<T>(file: string, line: number, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw error instanceof WordError ? dockerfileError(file, line, error.message) : error;
  }
}
