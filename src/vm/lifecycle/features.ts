import { BACKEND_FEATURES, type BackendFeatures } from "../../backends/features.ts";
import type { BackendName } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";

/** A feature that a backend has or has not. */
type Ability = keyof Pick<BackendFeatures, "snapshots" | "pause" | "gdb">;

const ABILITIES: Readonly<Record<Ability, string>> = {
  snapshots: "snapshots",
  pause: "pausing",
  gdb: "debugging the guest's kernel with gdb (gdbPort)",
};

/** @throws SmolVMError NOT_SUPPORTED if the backend cannot do that */
export function requireFeature(backend: BackendName, feature: Ability): void {
  if (BACKEND_FEATURES[backend][feature]) return;
  throw new SmolVMError("NOT_SUPPORTED", `the backend ${backend} has no ${ABILITIES[feature]}`, {
    hint: 'Use backend "qemu".',
    details: { backend, feature },
  });
}
