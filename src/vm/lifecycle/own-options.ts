import { requireOption, wholeNumber } from "../../config/checks.ts";
import type { HostMount } from "../../config/mounts.ts";
import { parseConfig } from "../../config/schema.ts";
import type { Lifetime } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Json } from "../../util/json.ts";

/** What a sandbox that goes on from a saved one, or is taken from a pool, has of its own. */
export interface OwnOptions {
  readonly labels?: Readonly<Record<string, Json>> | undefined;
  /** in ms */
  readonly ttlMs?: number | undefined;
  readonly lifetime: Lifetime;
  /** what it may have of the host: those of the saved one are not its */
  readonly mounts?: readonly HostMount[] | undefined;
}

const OPTIONS: readonly string[] = ["name", "labels", "ttlMs", "lifetime", "mounts"];
const MAX_COUNT = 1000;

/**
 * What a sandbox that goes on from a saved one may have of its own: all else is that one's.
 * @throws SmolVMError CONFIG_INVALID
 */
export function checkOwnOptions(options: Readonly<Record<string, unknown>>): OwnOptions {
  const unknown = Object.keys(options).find((option) => !OPTIONS.includes(option));
  if (unknown !== undefined) {
    throw new SmolVMError("CONFIG_INVALID", `unknown option '${unknown}'`, {
      hint: `All else is as it was made. Options: ${OPTIONS.join(", ")}.`,
      details: { option: unknown },
    });
  }
  const { labels, ttlMs, lifetime = "owner", mounts } = parseConfig(options);
  return { labels, ttlMs, lifetime, mounts };
}

/**
 * The names of a fork's children.
 * @throws SmolVMError CONFIG_INVALID
 */
export function childNames(count: number, name: string | undefined, generate: () => string): string[] {
  requireOption("count", count, wholeNumber(1, MAX_COUNT));
  if (name === undefined) return Array.from({ length: count }, generate);
  const names = count === 1 ? [name] : Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
  for (const child of names) parseConfig({ name: child });
  return names;
}
