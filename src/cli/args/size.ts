import { SmolVMError } from "../../errors.ts";

const MIB_PER_UNIT: Record<string, number> = { m: 1, g: 1024, t: 1024 * 1024 };

/**
 * Reads a size such as `512M`, `2G` or `1.5GiB` (binary units, any case) in whole MiB. Pure.
 * A bare number is refused: bytes to one reader, megabytes to another.
 * @throws SmolVMError USAGE
 */
export function parseSizeMib(option: string, text: string): number {
  const match = /^(\d+(?:\.\d+)?)(?:([mgt])(?:i?b)?)?$/i.exec(text);
  if (!match) {
    throw new SmolVMError("USAGE", `${option}: '${text}' is not a size`, {
      hint: `Write a number with M or G: ${option} 512M`,
    });
  }
  if (match[2] === undefined) {
    throw new SmolVMError("USAGE", `${option}: '${text}' has no unit`, {
      hint: `Say which you mean: ${option} ${text}M or ${option} ${text}G`,
    });
  }
  const mib = Number(match[1]) * MIB_PER_UNIT[match[2].toLowerCase()]!;
  if (!Number.isSafeInteger(mib) || mib === 0) {
    throw new SmolVMError("USAGE", `${option}: '${text}' is not a whole number of MiB`, {
      hint: `Write a number with M or G: ${option} 512M`,
    });
  }
  return mib;
}
