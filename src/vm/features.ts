import type { BackendFeatures } from "../backends/backend.ts";
import { backendOf } from "../backends/registry.ts";
import type { BackendName } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";

const FEATURES: Readonly<Record<keyof BackendFeatures, string>> = {
  snapshots: "snapshots",
  pause: "pausing",
  gdb: "debugging the guest's kernel with gdb (gdbPort)",
};

/** @throws SmolVMError NOT_SUPPORTED if the backend cannot do that */
export function requireFeature(backend: BackendName, feature: keyof BackendFeatures): void {
  if (backendOf(backend).features[feature]) return;
  throw new SmolVMError("NOT_SUPPORTED", `the backend ${backend} has no ${FEATURES[feature]}`, {
    hint: 'Use backend "qemu".',
    details: { backend, feature },
  });
}
