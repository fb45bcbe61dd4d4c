import { requireOption, wholeNumber } from "../../config/checks.ts";
import type { VMConfig } from "../../config/options.ts";
import { NAME_PATTERN, parseConfig } from "../../config/schema.ts";
import { SmolVMError } from "../../errors.ts";
import { shown } from "../../util/shown.ts";

/** What each sandbox has of its own when it is taken, or what only one can have. */
const NOT_SHARED: readonly string[] = [
  "name",
  "labels",
  "ttlMs",
  "lifetime",
  "ports",
  "publishAll",
  "bring",
  "mounts",
  "gdbPort",
  "hostname",
];
const MAX_SIZE = 1000;

/**
 * What a pool's sandboxes are like.
 * @throws SmolVMError CONFIG_INVALID, NOT_SUPPORTED
 */
export function checkPoolConfig(config: unknown): VMConfig {
  const checked = parseConfig(config);
  for (const option of NOT_SHARED) {
    if (checked[option as keyof VMConfig] === undefined) continue;
    throw new SmolVMError("CONFIG_INVALID", `a pool's sandboxes cannot have '${option}' beforehand`, {
      hint: `Give it to the one that is taken, or to that sandbox later. A pool has no: ${NOT_SHARED.join(", ")}.`,
      details: { option },
    });
  }
  if (checked.extraDrives?.some(({ readOnly }) => readOnly !== true) || checked.diskMode === "shared") {
    throw new SmolVMError("CONFIG_INVALID", "a pool's sandboxes cannot all write to one disk", {
      hint: "Give drives with readOnly: true.",
    });
  }
  return checked;
}

/** @throws SmolVMError CONFIG_INVALID */
export function checkPoolSize(size: unknown): void {
  requireOption("size", size, wholeNumber(1, MAX_SIZE));
}

/** @throws SmolVMError CONFIG_INVALID */
export function checkPoolName(name: unknown): void {
  if (typeof name === "string" && NAME_PATTERN.test(name)) return;
  throw new SmolVMError(
    "CONFIG_INVALID",
    `the pool name ${shown(name)} is not 1 to 64 of a-z, 0-9, - and _, beginning and ending with a letter or digit`,
  );
}
