import { dirname } from "node:path";
import { locateQemu, type QemuOrigin, qemuMissing } from "../../backends/qemu/locate.ts";
import { qemuProgram } from "../../backends/qemu/probe.ts";
import { isSmolVMError } from "../../errors.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { installHint } from "../../host/setup/install-hint.ts";
import { isOlder } from "../../util/versions.ts";
import { type Check, fail, pass, warn } from "../check.ts";

/** The oldest QEMU that is tried: microvm with ACPI and aarch64's pauth-impdef are there, Ubuntu 22.04 ships it. */
const QEMU_MIN = "6.2";
/** On Arm hosts, emulation crashes before this one. */
const QEMU_MIN_ARM_TCG = "9.0.4";

/** Why it is this one that serves. */
const ORIGINS: Readonly<Record<QemuOrigin, string>> = {
  named: ", named by SMOLVM_QEMU",
  built: ", built here: smolvm qemu ls",
  installed: ", from the npm package smolvm-qemu-x64",
  distribution: "",
};

/** QEMU for the guests' architecture, its version and its seccomp filter. */
export const qemuBinary: Check = ({ arch, env, hostArch, accelerator, backend, paths, platform, qemu }) => {
  const name = "QEMU binary";
  if (qemu === undefined) {
    const { message, hint } = qemuMissing(arch, env);
    // Who asked for Firecracker needs no QEMU.
    return backend === "qemu" ? fail(name, message, hint) : undefined;
  }
  const { path } = qemu;
  if ("error" in qemu) {
    const { error } = qemu;
    // A slow answer is no proof of a broken program.
    return isSmolVMError(error, "TIMEOUT")
      ? warn(name, `${path} did not say its version in time`, `Try it by hand, then again: ${path} --version`)
      : fail(name, error.message, error.hint);
  }
  const { version, target, sandbox } = qemu.probe;
  const detail = `${path} (${version}${ORIGINS[qemu.origin]})`;
  if (target !== arch) {
    return fail(name, `${detail} runs ${target} guests`, `Point SMOLVM_QEMU to ${qemuProgram(arch)}.`);
  }
  const newer =
    env.qemu === undefined ||
    locateQemu(arch, { cacheDir: paths.cacheDir, env: { ...env, qemu: undefined } }) === undefined
      ? installHint(`qemu-${arch}`)
      : `Use the one that is installed: unset SMOLVM_QEMU`;
  if (isOlder(version, QEMU_MIN))
    return warn(name, `${detail} is older than ${QEMU_MIN}, the oldest that is tried`, newer);
  if (hostArch === "aarch64" && accelerator === "tcg" && isOlder(version, QEMU_MIN_ARM_TCG)) {
    return warn(name, `${detail}: emulation on Arm hosts may crash before ${QEMU_MIN_ARM_TCG}`, newer);
  }
  if (qemu.trial.microvm !== undefined)
    return warn(
      name,
      `${detail} has no machine microvm (${qemu.trial.microvm}): sandboxes have q35, which boots slower`,
      newer,
    );
  if (platform === "linux" && !sandbox) return warn(name, `${detail} was built without seccomp`, newer);
  return pass(name, detail);
};

/** qemu-img is needed where images are built; sandboxes' own disks are raw and made without it. */
export const qemuImg: Check = ({ env, backend, qemu }) => {
  if (backend !== "qemu") return undefined;
  // Windows' QEMU has it beside the emulators.
  const beside = qemu === undefined ? [] : [dirname(qemu.path)];
  const directories = ["/usr/bin", "/opt/homebrew/bin", "/usr/local/bin"];
  const path = findProgram("qemu-img", env.path, [...directories, ...beside]);
  if (path !== undefined) return pass("qemu-img", path);
  return warn("qemu-img", "not found (needed to build images)", installHint("qemu-img"));
};
