/** `smolvm/backends`: which backend runs a sandbox, and why. */
export type { BackendCandidate } from "./backends/candidate.ts";
export {
  BACKEND_AUTO,
  BACKEND_FIRECRACKER,
  BACKEND_QEMU,
  type BackendRequest,
  SUPPORTED_BACKENDS,
} from "./backends/names.ts";
export {
  type BackendSelection,
  type BackendWants,
  resolveBackend,
  type SelectOptions,
  selectBackend,
} from "./backends/select.ts";
