/** Lowest and highest of each limit. */
const BOUNDS: Readonly<Record<string, readonly [number, number]>> = {
  // the most process ids that a Linux kernel has (PID_MAX_LIMIT, linux/threads.h)
  pids: [1, 4_194_304],
  // below it not even a shell starts; the most memory that a sandbox has
  memoryMib: [4, 16_384],
};

/** What is wrong with a value for the option `limits`, as the end of a sentence; undefined: nothing. Pure. */
export function checkCommandLimits(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "is not an object";
  for (const [name, limit] of Object.entries(value)) {
    const bounds = Object.hasOwn(BOUNDS, name) ? BOUNDS[name] : undefined;
    if (bounds === undefined)
      return `has the unknown key '${name}' (known: ${Object.keys(BOUNDS).join(", ")})`;
    const [min, max] = bounds;
    if (limit !== undefined && !(Number.isInteger(limit) && limit >= min && limit <= max))
      return `has a ${name} that is not a whole number from ${min} to ${max}`;
  }
  return undefined;
}
