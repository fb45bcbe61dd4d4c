/**
 * What comes of two calls on one sandbox that are made at the same moment. tests/contract/pairs.test.ts makes them, and the page
 * docs/lifecycle.md has the table that is made of this.
 */

export const VERBS = ["start", "stop", "restart", "delete", "run"] as const;
export type Verb = (typeof VERBS)[number];

/**
 * How a call ends: `done`; `deleted`: it came after the deletion, VM_NOT_FOUND; `down`: what it needed was not there or went away, an error of
 * which `isGone` is true.
 */
export type End = "done" | "done or deleted" | "done or down";

/** The state in which the sandbox is left; gone: there is none. */
export type Left = "running" | "stopped" | "gone";

export interface Pair {
  readonly calls: readonly [Verb, Verb];
  readonly ends: readonly [End, End];
  readonly leaves: readonly Left[];
}

const pair = (first: Verb, firstEnd: End, second: Verb, secondEnd: End, ...leaves: Left[]): Pair => ({
  calls: [first, second],
  ends: [firstEnd, secondEnd],
  leaves,
});

export const PAIRS: readonly Pair[] = [
  pair("start", "done", "start", "done", "running"),
  pair("start", "done", "stop", "done", "running", "stopped"),
  pair("start", "done", "restart", "done", "running"),
  pair("start", "done or deleted", "delete", "done", "gone"),
  pair("start", "done", "run", "done or down", "running"),
  pair("stop", "done", "stop", "done", "stopped"),
  pair("stop", "done", "restart", "done", "running", "stopped"),
  pair("stop", "done or deleted", "delete", "done", "gone"),
  pair("stop", "done", "run", "done or down", "stopped"),
  pair("restart", "done", "restart", "done", "running"),
  pair("restart", "done or deleted", "delete", "done", "gone"),
  pair("restart", "done", "run", "done or down", "running"),
  pair("delete", "done", "delete", "done", "gone"),
  pair("delete", "done", "run", "done or down", "gone"),
  pair("run", "done or down", "run", "done or down", "running", "stopped"),
];
