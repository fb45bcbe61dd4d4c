/**
 * What our tests use of vitest, for a Node that vitest itself does not run on (it is installed for Linux, and the one for Windows would
 * have to be fetched): its own `expect`, and a runner of tests one after the other. suite.ts puts it in vitest's place.
 */
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";

// Its real one, by its file: the name leads here.
const real = new URL("../../node_modules/vitest/dist/index.js", import.meta.url);
const whole = (await import(real.href)) as Pick<typeof import("vitest"), "expect" | "vi">;
export const expect: typeof whole.expect = Object.assign(whole.expect, { poll });
export const vi: typeof whole.vi = whole.vi;

type Act = (...values: never[]) => unknown;
interface Test {
  readonly name: string;
  readonly act: (() => unknown) | undefined;
  readonly timeoutMs: number;
}
interface Suite {
  readonly name: string;
  readonly parent: Suite | undefined;
  readonly parts: (Suite | Test)[];
  readonly before: (() => unknown)[];
  readonly after: (() => unknown)[];
  readonly beforeEach: (() => unknown)[];
  readonly afterEach: (() => unknown)[];
  readonly skipped: boolean;
}

const SPEED_FACTOR = Number(process.env.SMOLVM_SPEED_FACTOR ?? 1);
const TEST_MS = 120_000 * SPEED_FACTOR;
const HOOK_MS = 300_000 * SPEED_FACTOR;

const newSuite = (name: string, parent: Suite | undefined, skipped: boolean): Suite => ({
  ...{ name, parent, parts: [], before: [], after: [], beforeEach: [], afterEach: [] },
  skipped: skipped || (parent?.skipped ?? false),
});

let current: Suite = newSuite("", undefined, false);

/** `expect.poll`, which vitest has for its own runner alone: tries until it is so, or the time is over. */
function poll(read: () => unknown, { timeout = 1_000, interval = 50 } = {}): never {
  const end = performance.now() + timeout;
  const matcher =
    (name: string, not: boolean) =>
    async (...values: unknown[]): Promise<void> => {
      for (;;) {
        const value = await read();
        try {
          const expected = whole.expect(value);
          const matchers = (not ? expected.not : expected) as unknown as Record<string, Act>;
          matchers[name]!(...(values as never[]));
          return;
        } catch (error) {
          if (performance.now() > end) throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, interval));
      }
    };
  const matchers = (not: boolean): object =>
    new Proxy({}, { get: (_target, name) => (name === "not" ? matchers(true) : matcher(String(name), not)) });
  return matchers(false) as never;
}

/** Values of one row: an array is several. */
const row = (values: unknown): unknown[] => (Array.isArray(values) ? values : [values]);

/** "%s" and "%i" are the row's values, one after the other, "$name" a property of its only one. */
function titled(name: string, values: readonly unknown[]): string {
  let next = 0;
  const [only] = values as [Record<string, unknown> | undefined];
  const named = name.replaceAll(/\$(\w+)/g, (whole, key) => String(only?.[key] ?? whole));
  return named.replaceAll(/%[sdijo]/g, () => {
    const value = values[next++];
    return typeof value === "object" ? JSON.stringify(value) : String(value);
  });
}

function addTest(name: string, act: Act, timeoutMs = TEST_MS, run = true): void {
  current.parts.push({ name, act: run ? (act as () => unknown) : undefined, timeoutMs });
}

function addSuite(name: string, define: Act, run = true): void {
  const suite = newSuite(name, current, !run);
  current.parts.push(suite);
  current = suite;
  (define as () => unknown)();
  current = suite.parent!;
}

type Add = (name: string, act: Act, timeoutMs?: number) => void;
interface Adder extends Add {
  each: (rows: readonly unknown[]) => Add;
  /** as `each`, but a row stays one value */
  for: (rows: readonly unknown[]) => Add;
  runIf: (condition: unknown) => Adder;
  skipIf: (condition: unknown) => Adder;
  skip: Add;
}

function adder(
  add: (name: string, act: Act, timeoutMs: number | undefined, run: boolean) => void,
  run = true,
): Adder {
  return Object.assign((name: string, act: Act, timeoutMs?: number) => add(name, act, timeoutMs, run), {
    each:
      (rows: readonly unknown[]): Add =>
      (name, act, timeoutMs) => {
        for (const values of rows.map(row))
          add(titled(name, values), () => (act as (...all: unknown[]) => unknown)(...values), timeoutMs, run);
      },
    for:
      (rows: readonly unknown[]): Add =>
      (name, act, timeoutMs) => {
        for (const value of rows)
          add(titled(name, row(value)), () => (act as (one: unknown) => unknown)(value), timeoutMs, run);
      },
    runIf: (condition: unknown): Adder => adder(add, run && Boolean(condition)),
    skipIf: (condition: unknown): Adder => adder(add, run && !condition),
    skip: (name: string, act: Act) => add(name, act, undefined, false),
  });
}

export const test: Adder = adder(addTest);
export const describe: Adder = adder((name, act, _timeoutMs, run) => addSuite(name, act, run));
export const beforeAll = (act: () => unknown): unknown => current.before.push(act);
export const afterAll = (act: () => unknown): unknown => current.after.push(act);
export const beforeEach = (act: () => unknown): unknown => current.beforeEach.push(act);
export const afterEach = (act: () => unknown): unknown => current.afterEach.push(act);

export interface Outcome {
  readonly fullName: string;
  readonly status: "passed" | "failed" | "skipped";
  readonly message: string;
  /** what was wrong at a first attempt, if it took a second one */
  readonly before?: string;
  readonly ms: number;
}

/** Runs the tests of a file; `leftOut` says of a name why it is not run, if it is not. */
export async function runFile(
  path: string,
  leftOut: (fullName: string) => string | undefined,
  told: (outcome: Outcome) => void,
): Promise<void> {
  const suite = newSuite("", undefined, false);
  current = suite;
  await import(pathToFileURL(path).href);
  await runSuite(suite, [], leftOut, told);
}

async function runSuite(
  suite: Suite,
  above: readonly Suite[],
  leftOut: (fullName: string) => string | undefined,
  told: (outcome: Outcome) => void,
): Promise<void> {
  const suites = [...above, suite];
  const names = suites.map(({ name }) => name).filter((name) => name !== "");
  const fullName = (test: Test): string => [...names, test.name].join(" ");
  const runs = (part: Suite | Test, path: readonly string[]): boolean => {
    if ("parts" in part) return !part.skipped && part.parts.some((one) => runs(one, [...path, part.name]));
    return part.act !== undefined && leftOut([...path, part.name].join(" ")) === undefined;
  };
  const any = suite.parts.some((part) => runs(part, names));
  let broken: unknown;
  if (any) broken = await failure(suite.before, HOOK_MS);
  for (const part of suite.parts) {
    if ("parts" in part) {
      await runSuite(part, suites, leftOut, told);
      continue;
    }
    const name = fullName(part);
    const started = performance.now();
    const say = (status: Outcome["status"], message = "", before?: string): void =>
      told({ fullName: name, status, message, ...(before && { before }), ms: performance.now() - started });
    const why = leftOut(name);
    if (suite.skipped || part.act === undefined || why !== undefined) {
      say("skipped", why);
      continue;
    }
    const acts = suites.flatMap((one) => one.beforeEach);
    const ends = suites.toReversed().flatMap((one) => one.afterEach.toReversed());
    const act = part.act;
    const attempt = async (): Promise<string | undefined> => {
      let error = broken ?? (await failure(acts, HOOK_MS));
      error ??= await failure([act], part.timeoutMs);
      const endError = await failure(ends, HOOK_MS);
      error ??= endError;
      return error === undefined ? undefined : text(error);
    };
    const before = await attempt();
    const wrong = before === undefined ? undefined : await attempt();
    say(wrong === undefined ? "passed" : "failed", wrong, before);
  }
  if (!any) return;
  const error = await failure(suite.after.toReversed(), HOOK_MS);
  if (error !== undefined)
    told({ fullName: [...names, "(afterAll)"].join(" "), status: "failed", message: text(error), ms: 0 });
}

/** What was wrong; of an assertion also what there was instead. */
function text(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { actual } = error as { actual?: unknown };
  const was = actual === undefined ? "" : `\n    was: ${inspect(actual, { depth: 4 }).slice(0, 2_000)}`;
  return (error.stack ?? error.message) + was;
}

/** What the first of them that failed threw; the others are done all the same. */
async function failure(acts: readonly (() => unknown)[], limitMs: number): Promise<unknown> {
  let first: unknown;
  for (const act of acts) {
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not done within ${limitMs} ms`)), limitMs);
    });
    try {
      await Promise.race([Promise.resolve().then(act), limit]);
    } catch (error) {
      first ??= error ?? new Error("failed");
    } finally {
      clearTimeout(timer);
    }
  }
  return first;
}
