/** `smolvm/backends`: which backend runs a sandbox, and why. */
export {
  BACKEND_AUTO,
  BACKEND_FIRECRACKER,
  BACKEND_QEMU,
  type BackendRequest,
  SUPPORTED_BACKENDS,
} from "./backends/names.ts";
export {
  type BackendCandidate,
  type BackendSelection,
  resolveBackend,
  type SelectOptions,
  selectBackend,
} from "./backends/select.ts";
