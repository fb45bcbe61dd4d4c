import type { Lifetime } from "../../config/spec.ts";
import { identify, type ProcessIdentity } from "../../host/process/process-identity.ts";
import type { Home } from "../home.ts";
import { discardNow } from "../recovery/recover.ts";

/** Sandboxes that die with this process, by id. */
const owned = new Map<string, Home>();
let exitHooked = false;

/** The process that a sandbox of this one dies with; undefined: none. */
export function ownerFor(lifetime: Lifetime): ProcessIdentity | undefined {
  return lifetime === "owner" ? identify(process.pid) : undefined;
}

/** Remembers to remove a sandbox when this process exits in an orderly way. A killed one is cleaned up by the next command. */
export function own(id: string, home: Home): void {
  if (!exitHooked) {
    exitHooked = true;
    process.once("exit", () => {
      for (const [vmId, vmHome] of owned) discardNow(vmHome, vmId);
    });
  }
  owned.set(id, home);
}

export function isOwned(id: string): boolean {
  return owned.has(id);
}

/** It is removed, or somebody else's now. */
export function disown(id: string): void {
  owned.delete(id);
}
