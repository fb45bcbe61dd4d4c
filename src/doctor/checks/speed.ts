import { installHint } from "../../host/setup/install-hint.ts";
import { type Check, pass, warn } from "../check.ts";

/**
 * How many times more CPU time emulated code takes: the median of nine small Python programs, in a guest and on its host
 * (QEMU 7.2, x86_64 on x86_64). Start-up, integer loops, sorting and compiling were at 14 to 17, JSON, regular
 * expressions and floating point at 22 to 24, zlib at 31, SHA-256 (which the host's CPU has instructions for) at 50.
 */
const EMULATION_FACTOR = 20;

/** What executes the guests' code. */
export const accelerator: Check = ({ accelerator: chosen, arch, hostArch, platform, kvm, noHardware }) => {
  if (chosen === undefined) return undefined;
  if (chosen !== "tcg") return pass("Accelerator", chosen);
  const why =
    hostArch !== arch
      ? `${arch} guests on a ${hostArch ?? process.arch} host`
      : platform === "linux"
        ? kvm.detail
        : (noHardware?.reason ?? "no hardware acceleration for this host");
  return pass("Accelerator", `tcg (${why})`);
};

/** How fast guests run. */
export const speed: Check = ({ accelerator: chosen, kvm, arch, hostArch, backend, platform, noHardware }) => {
  if (backend === "firecracker") return kvm.state === "usable" ? pass("Speed", "hardware") : undefined;
  if (chosen === undefined) return undefined;
  if (chosen !== "tcg") return pass("Speed", "hardware");
  return warn(
    "Speed",
    `emulated, about ${EMULATION_FACTOR} times slower`,
    hostArch === arch
      ? ((platform === "linux" ? kvm.fix : noHardware?.hint) ?? installHint(`qemu-${arch}`))
      : "Use a machine of the guests' architecture.",
  );
};
