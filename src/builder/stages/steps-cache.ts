import { createHash } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { writeDurably } from "../../host/files/write-durably.ts";
import type { MadeLayer } from "../../images/layer/layer-file.ts";
import { type ImageDirs, imageLayout } from "../../images/store/layout.ts";

/** What a step has made: a layer, unless it changed nothing, and when. */
export interface MadeStep {
  readonly layer: MadeLayer | undefined;
  /** ISO 8601 */
  readonly created: string;
}

/** Another meaning of keys makes other ones. */
const VERSION = 1;

/** The key of a step: a hash of all that what it makes depends on. Pure. */
export function stepKey(parts: readonly unknown[]): string {
  return createHash("sha256")
    .update(JSON.stringify([VERSION, ...parts]))
    .digest("hex");
}

/** What was made by a step of that key, if all of it is still there. */
export async function knownStep(dirs: ImageDirs, key: string): Promise<MadeStep | undefined> {
  const layout = imageLayout(dirs);
  try {
    const step = JSON.parse(await readFile(layout.buildStep(key), "utf8")) as MadeStep;
    if (step.layer === undefined) return step;
    const { size } = await stat(layout.blob(step.layer.descriptor.digest));
    return size === step.layer.descriptor.size ? step : undefined;
  } catch {
    return undefined; // it was not made, or was pruned
  }
}

export async function keepStep(dirs: ImageDirs, key: string, step: MadeStep): Promise<void> {
  await writeDurably(imageLayout(dirs).buildStep(key), `${JSON.stringify(step)}\n`);
}
