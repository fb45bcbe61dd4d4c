import type { BackendName } from "../config/spec.ts";
import type { Backend } from "./backend.ts";
import { firecrackerBackend } from "./firecracker/backend.ts";
import { type BackendHost, processHost } from "./host.ts";
import { BACKEND_QEMU } from "./names.ts";
import { qemuBackend } from "./qemu/backend.ts";

/** The backend of a name. */
export function backendOf(name: BackendName, host: BackendHost = processHost()): Backend {
  return name === BACKEND_QEMU ? qemuBackend(host) : firecrackerBackend(host);
}
