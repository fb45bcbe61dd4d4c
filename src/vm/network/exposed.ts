import type { PortForward, VMConfig } from "../../config/options.ts";
import type { VmSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";

/** Most forwards of one sandbox. */
const MAX_FORWARDS = 64;

/**
 * The forwards that `publishAll` asks for: of each TCP port that the image exposes and that is not forwarded anyway, to any free port of 127.0.0.1. Pure.
 * @throws SmolVMError CONFIG_INVALID if they are too many
 */
export function exposedForwards(
  { imageSays, image }: Pick<VmSpec, "imageSays" | "image">,
  { publishAll = false, ports = [] }: { readonly [K in "publishAll" | "ports"]?: VMConfig[K] | undefined },
): PortForward[] {
  if (!publishAll) return [];
  const exposed = (imageSays?.exposedPorts ?? [])
    .filter((port) => port.endsWith("/tcp"))
    .map((port) => Number.parseInt(port, 10))
    .filter((port) => port >= 1 && port <= 65535 && !ports.some(({ guestPort }) => guestPort === port));
  if (exposed.length + ports.length <= MAX_FORWARDS) return exposed.map((guestPort) => ({ guestPort }));
  throw new SmolVMError(
    "CONFIG_INVALID",
    `the image '${image}' exposes ${exposed.length} ports, and a sandbox can have at most ${MAX_FORWARDS} forwards`,
    { hint: "Name the ones that are wanted: -p GUEST, or ports: [{ guestPort }]." },
  );
}
