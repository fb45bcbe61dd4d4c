import type { BackendName } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";

export const BACKEND_FIRECRACKER = "firecracker";
export const BACKEND_QEMU = "qemu";
export const BACKEND_AUTO = "auto";

/** The backends there are; "auto" is a way to choose one of them. */
export const SUPPORTED_BACKENDS: ReadonlySet<BackendName> = new Set<BackendName>([
  BACKEND_FIRECRACKER,
  BACKEND_QEMU,
]);

/** What was asked for: a backend's name or "auto". */
export type BackendRequest = BackendName | typeof BACKEND_AUTO;

/**
 * Normalises a request: the argument, else the environment's value, else "auto"; trimmed and lower-cased. Pure.
 * @throws SmolVMError BACKEND_UNSUPPORTED
 */
export function parseBackend(requested: string | undefined, fromEnv: string | undefined): BackendRequest {
  const raw = (requested || fromEnv || BACKEND_AUTO).trim().toLowerCase();
  if (raw === BACKEND_AUTO) return raw;
  for (const name of SUPPORTED_BACKENDS) if (raw === name) return name;
  const supported = [...SUPPORTED_BACKENDS, BACKEND_AUTO].sort().join(", ");
  throw new SmolVMError(
    "BACKEND_UNSUPPORTED",
    `Unsupported backend '${raw}'. Supported values: ${supported}`,
    {
      hint: `Check the spelling of the backend option and of SMOLVM_BACKEND, and use one of: ${supported}`,
      details: { requested: raw, source: requested ? "argument" : "SMOLVM_BACKEND" },
    },
  );
}

/** The backend that "auto" means on a platform, whether it can run there or not: macOS qemu, others firecracker. Pure. */
export function platformBackend(platform: NodeJS.Platform): BackendName {
  return platform === "darwin" ? BACKEND_QEMU : BACKEND_FIRECRACKER;
}

/** {@link resolveBackend} as a function of its inputs. Pure. */
export function resolveBackendFrom(
  requested: string | undefined,
  fromEnv: string | undefined,
  platform: NodeJS.Platform,
): BackendName {
  const request = parseBackend(requested, fromEnv);
  return request === BACKEND_AUTO ? platformBackend(platform) : request;
}
