import { locateQemu, qemuMissing } from "../../backends/qemu/locate.ts";
import { probeQemu, qemuProgram } from "../../backends/qemu/probe.ts";
import { isSmolVMError } from "../../errors.ts";
import { findProgram } from "../../host/find-program.ts";
import { installHint } from "../../host/install-hint.ts";
import { type Check, type CheckResult, fail, pass, warn } from "../check.ts";

/** The oldest QEMU that is tried: microvm with ACPI and aarch64's pauth-impdef are there, Ubuntu 22.04 ships it. */
const QEMU_MIN = "6.2";
/** On Arm hosts, emulation crashes before this one. */
const QEMU_MIN_ARM_TCG = "9.0.4";

/** QEMU for the guests' architecture, its version and its seccomp filter. */
export const qemuBinary: Check = async ({ arch, env, paths, hostArch, accelerator, backend }) => {
  const name = "QEMU binary";
  const path = locateQemu(arch, env);
  if (path === undefined) {
    const { message, hint } = qemuMissing(arch, env);
    // Who asked for Firecracker needs no QEMU.
    return backend === "qemu" ? fail(name, message, hint) : undefined;
  }
  try {
    const probe = await probeQemu(path, paths.cacheDir);
    const detail = `${path} (${probe.version})`;
    if (probe.target !== arch) {
      return fail(
        name,
        `${detail} runs ${probe.target} guests`,
        `Point SMOLVM_QEMU to ${qemuProgram(arch)}.`,
      );
    }
    if (olderThan(probe.version, QEMU_MIN)) {
      return warn(
        name,
        `${detail} is older than ${QEMU_MIN}, the oldest that is tried`,
        installHint(`qemu-${arch}`),
      );
    }
    if (hostArch === "aarch64" && accelerator === "tcg" && olderThan(probe.version, QEMU_MIN_ARM_TCG)) {
      return warn(
        name,
        `${detail}: emulation on Arm hosts may crash before ${QEMU_MIN_ARM_TCG}`,
        "Install a newer QEMU.",
      );
    }
    if (process.platform === "linux" && !probe.sandbox) {
      return warn(name, `${detail} was built without seccomp`, "Install your distribution's QEMU package.");
    }
    return pass(name, detail);
  } catch (error) {
    return probeFailure(path, error);
  }
};

function probeFailure(path: string, error: unknown): CheckResult {
  const name = "QEMU binary";
  // A slow answer is no proof of a broken program.
  if (isSmolVMError(error, "TIMEOUT")) {
    return warn(name, `${path} did not say its version in time`, `Try it by hand: ${path} --version`);
  }
  if (isSmolVMError(error)) return fail(name, error.message, error.hint);
  throw error;
}

/** qemu-img is not needed for smolvm's own disks, which are raw and made without it. */
export const qemuImg: Check = ({ env, backend }) => {
  if (backend !== "qemu") return undefined;
  const path = findProgram("qemu-img", env.path, ["/opt/homebrew/bin", "/usr/local/bin"]);
  if (path !== undefined) return pass("qemu-img", path);
  return warn("qemu-img", "not found (only needed to make or convert qcow2 disks)", installHint("qemu-img"));
};

/** True if version a is before version b; parts that are missing count as 0. Pure. */
export function olderThan(a: string, b: string): boolean {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number)) as [number[], number[]];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
