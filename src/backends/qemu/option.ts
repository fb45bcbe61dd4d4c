/** A value in QEMU's option syntax: a comma ends a value, so one inside is doubled (qemu(1)). Pure. */
function escapeValue(value: string): string {
  return value.replaceAll(",", ",,");
}

export type OptionValue = string | number | boolean | undefined;

/**
 * `head,key=value,...` in QEMU's option syntax; booleans become on and off, undefined is left out. Pure.
 * Keys are ours and fixed; values may hold anything.
 */
export function qemuOption(head: string, properties: Readonly<Record<string, OptionValue>>): string {
  const parts = [head];
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    const text = typeof value === "boolean" ? (value ? "on" : "off") : String(value);
    parts.push(`${key}=${escapeValue(text)}`);
  }
  return parts.filter((part) => part !== "").join(",");
}
