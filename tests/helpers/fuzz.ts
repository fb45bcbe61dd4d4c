/** `test.sh --long` tries this many times as many inputs, of another seed each time. */
const LONGER = (process.env.SMOLVM_TEST_LONG ?? "") === "" ? 1 : 50;

/** How many inputs a property is tried with. */
export function inputs(count: number): number {
  return count * LONGER;
}

/** How long that may take at most, in milliseconds. */
export const FUZZ_LIMIT_MS: number = 30_000 * LONGER;
