import type { BackendName } from "../config/spec.ts";
import type { Backend } from "./backend.ts";
import { type BackendHost, processHost } from "./host.ts";
import { BACKEND_QEMU } from "./names.ts";
import { qemuBackend } from "./qemu/backend.ts";
import { firecrackerCandidate, unavailable } from "./select.ts";

/**
 * The backend of a name.
 * @throws SmolVMError BACKEND_UNAVAILABLE
 */
export function backendOf(name: BackendName, host: BackendHost = processHost()): Backend {
  if (name === BACKEND_QEMU) return qemuBackend(host);
  throw unavailable([firecrackerCandidate(process.platform)]);
}
