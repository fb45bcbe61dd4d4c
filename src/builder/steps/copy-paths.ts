import { posix } from "node:path";
import { jsonWords } from "../../images/dockerfile/state.ts";
import { expandText, splitWords } from "../../images/dockerfile/words.ts";
import type { Step } from "./step.ts";

/** What COPY and ADD copy, and where to. */
export interface CopyPaths {
  /** without here-documents */
  readonly sources: readonly string[];
  /** absolute, a slash at its end means a directory */
  readonly path: string;
}

/** @throws SmolVMError DOCKERFILE_INVALID */
export function copyPaths(step: Step): CopyPaths {
  const { keyword, text, heredocs } = step.instruction;
  const words = step.read(() => {
    const { escaping } = step.build.plan;
    const list = jsonWords(text)?.map((word) => expandText(word, escaping, step.lookup));
    return list ?? splitWords(text, escaping, step.lookup);
  });
  const to = words.at(-1);
  const sources = words.slice(0, -1).filter((word) => !/^<<-?\w+$/.test(word));
  const count = sources.length + heredocs.length;
  if (to === undefined || count === 0) throw step.fail(`${keyword} takes what is copied, and where to`);
  const path = inImage(step.stage.state.config.WorkingDir, to);
  if (count > 1 && !path.endsWith("/"))
    throw step.fail(`${keyword} of several takes a directory, with a slash at its end: ${to}/`);
  return { sources, path };
}

/** A path in the image, from the working directory on. A slash at its end stays. Pure. */
export function inImage(workdir: string | undefined, path: string): string {
  const isDirectory = /(?:^|\/)\.?$/.test(path) && path !== "";
  return posix.resolve("/", workdir ?? "/", path) + (isDirectory ? "/" : "");
}
