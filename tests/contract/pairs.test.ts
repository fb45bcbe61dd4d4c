import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isGone, SmolVM, SmolVMError } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { type End, PAIRS, type Verb } from "../helpers/verb-pairs.ts";
import { call, type Outcome } from "../helpers/verbs.ts";

useTempHome();

/** Who makes the two calls. */
const CALLERS = ["one handle", "two handles", "two processes"] as const;

let other: ChildProcess;
beforeAll(() => {
  other = fork(join(import.meta.dirname, "../helpers/child-verbs.ts"));
});
afterAll(() => {
  other.kill();
});

async function answer(message: object): Promise<unknown> {
  const told = once(other, "message");
  other.send(message);
  return (await told)[0];
}

/** Arms the second caller, and gives what makes its call. */
async function second(vm: SmolVM, who: (typeof CALLERS)[number]): Promise<(verb: Verb) => Promise<Outcome>> {
  if (who === "two processes") {
    await answer({ name: vm.name });
    return async (verb) => (await answer({ verb })) as Outcome;
  }
  const handle = who === "one handle" ? vm : await SmolVM.get(vm.name);
  return (verb) => call(handle, verb);
}

function judge(said: Outcome, wanted: End, name: string, what: string): void {
  const { end, message = "", details } = said;
  if (end === "done") return;
  const error = new SmolVMError(end as never, message, { details: details as Record<string, unknown> });
  if (wanted === "done or deleted") {
    expect(said, what).toMatchObject({ end: "VM_NOT_FOUND", message: `sandbox '${name}' was deleted` });
  } else expect([wanted, isGone(error)], `${what}: ${end}: ${message}`).toEqual(["done or down", true]);
}

describe.each(BACKENDS)("two calls at the same moment on one sandbox on %s", (backend) => {
  describe.each(CALLERS)("by %s", (who) => {
    test.each(PAIRS.map((pair) => ({ ...pair, both: pair.calls.join(" and ") })))("$both", async (pair) => {
      const name = pair.calls.join("-");
      // Either may come first.
      const [a, b] = who === "two handles" ? ([1, 0] as const) : ([0, 1] as const);
      const vm = await SmolVM.define(small(backend, { name }));
      try {
        // What the first call does must be to do: a start of what runs would be over at once.
        if (!pair.calls.includes("start")) await vm.start();
        const go = await second(vm, who);
        const said = await Promise.all([call(vm, pair.calls[a]), go(pair.calls[b])]);
        judge(said[0], pair.ends[a], name, `${pair.calls[a]}, first`);
        judge(said[1], pair.ends[b], name, `${pair.calls[b]}, second`);
        const state = (await SmolVM.list()).find((info) => info.name === name)?.state ?? "gone";
        expect(pair.leaves).toContain(state);
      } finally {
        await vm.delete({ force: true });
      }
    });
  });
});
