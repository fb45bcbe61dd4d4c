import { SmolVMError } from "../errors.ts";
import { OLDEST_NODE, refuseNode } from "./node-version.ts";

/**
 * Refuses a Node that is too old.
 * @param run what would run the same with a newer one
 * @throws SmolVMError DEPENDENCY_MISSING if this Node is older than 22.18
 */
export function requireNode(run: string): void {
  const refused = refuseNode(run);
  if (refused === undefined) return;
  throw new SmolVMError("DEPENDENCY_MISSING", refused.message, {
    hint: refused.hint,
    details: { needed: OLDEST_NODE, found: process.versions.node },
  });
}
