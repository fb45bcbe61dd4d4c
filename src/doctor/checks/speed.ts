import { type Check, pass, warn } from "../check.ts";

/**
 * How much slower emulated code runs than the same code on the host's CPU: see bench notes in ARCHITECTURE.md.
 * Placeholder until measured.
 */
export const EMULATION_FACTOR = 10;

/** What executes the guests' code. */
export const accelerator: Check = ({ accelerator: chosen, arch, hostArch, platform, kvm }) => {
  if (chosen === undefined) return undefined;
  if (chosen !== "tcg") return pass("Accelerator", chosen);
  const why =
    hostArch !== arch
      ? `${arch} guests on a ${hostArch ?? process.arch} host`
      : platform === "linux"
        ? kvm.detail
        : "no hardware acceleration for this host";
  return pass("Accelerator", `tcg (${why})`);
};

/** How fast guests run. */
export const speed: Check = ({ accelerator: chosen, kvm }) => {
  if (chosen === undefined) return undefined;
  if (chosen !== "tcg") return pass("Speed", "hardware");
  return warn(
    "Speed",
    `emulated, about ${EMULATION_FACTOR} times slower`,
    kvm.fix ?? "Use a guest of the host's architecture.",
  );
};
