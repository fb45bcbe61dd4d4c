import type { MachineSpec } from "../../config/spec.ts";
import { type Mount, mountOf } from "../../host/files/mounts.ts";
import type { Refusal } from "../../isolation/tier.ts";
import type { BackendHost } from "../host.ts";
import { locateFirecracker, locateJailer } from "./locate.ts";

/**
 * Why the VMM of a machine cannot be jailed, although it could have a uid and limits; undefined: it can.
 * @param dataDir where the sandboxes' directories lie, and in them the jails
 */
export function jailRefusal(
  spec: Pick<MachineSpec, "backend">,
  host: BackendHost,
  dataDir: string,
): Refusal | undefined {
  if (spec.backend !== "firecracker") return undefined;
  const program = locateFirecracker(host.env);
  if (program === undefined) return undefined;
  if (locateJailer(program, host.env) === undefined)
    return { reason: "Firecracker's jailer is not installed", fix: "Install it: smolvm setup" };
  return mountRefusal(mountOf(dataDir));
}

/** Why Firecracker's jailer can make no jail on such a mount: devices do not open there, or programs do not run. Pure. */
export function mountRefusal(mount: Mount | undefined): Refusal | undefined {
  const closed = ["nodev", "noexec"].filter((option) => mount?.options.includes(option));
  if (mount === undefined || closed.length === 0) return undefined;
  const opened = closed.map((option) => option.slice("no".length)).join(",");
  return {
    reason: `'${mount.point}' is mounted ${closed.join(" and ")}: Firecracker's jailer puts its devices and its program there`,
    fix: `Keep smolvm's data on another file system (export SMOLVM_HOME=DIRECTORY), or: sudo mount -o remount,${opened} '${mount.point}'`,
  };
}
