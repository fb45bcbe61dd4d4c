/** How much slower this machine is than the one that limits in tests were thought for; scripts/test.sh measures it. */
export const SPEED_FACTOR: number = speedFactor(process.env.SMOLVM_SPEED_FACTOR);

/** Milliseconds, scaled by how slow this machine is. */
export function scaled(ms: number): number {
  return Math.ceil(ms * SPEED_FACTOR);
}

// A wrong factor would make every limit zero, and every test that waits fail for no reason that it could tell.
function speedFactor(text: string | undefined): number {
  if (text === undefined) return 1;
  const factor = Number.parseFloat(text);
  if (!(factor >= 1 && factor <= 100))
    throw new Error(`SMOLVM_SPEED_FACTOR is not a number from 1 to 100: '${text}'`);
  return factor;
}
