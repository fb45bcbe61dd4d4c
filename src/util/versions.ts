/** True if version a is before version b; parts that are missing count as 0, what follows a "-" does not count. Pure. */
export function isOlder(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.replace(/-.*/, "").split(".").map(Number)) as [
    number[],
    number[],
  ];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
