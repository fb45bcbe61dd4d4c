import type { SmolVM } from "../../src/index.ts";
import type { Verb } from "./verb-pairs.ts";

/** What came of a call: "done", or the code of its error and what a person would read. */
export interface Outcome {
  readonly end: string;
  readonly message?: string;
  readonly details?: unknown;
}

/** Makes one call on a sandbox; never rejects. */
export async function call(vm: SmolVM, verb: Verb): Promise<Outcome> {
  try {
    if (verb === "run") await vm.run("true");
    else if (verb === "delete") await vm.delete({ force: true });
    else await vm[verb]();
    return { end: "done" };
  } catch (error) {
    const { code, message, details } = error as { code?: string; message: string; details?: unknown };
    return { end: code ?? "no code", message, details };
  }
}
