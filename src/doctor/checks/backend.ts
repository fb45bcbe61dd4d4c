import { type Check, fail, pass, warn } from "../check.ts";

/** Which backend will be used, and why not the recommended one. */
export const backend: Check = ({ selection }) => {
  const name = "Backend";
  if ("error" in selection) return fail(name, selection.error.message, selection.error.hint);
  const passedOver = selection.candidates.filter((candidate) => !candidate.usable);
  if (selection.requested !== "auto" || passedOver.length === 0) return pass(name, selection.backend);
  const reasons = passedOver.map((candidate) => `${candidate.name}: ${candidate.reason}`).join("; ");
  return warn(
    name,
    `${selection.backend} (${reasons})`,
    passedOver.find(({ code }) => code === "NETWORK_SETUP_MISSING")?.hint ??
      `To choose it on purpose: export SMOLVM_BACKEND=${selection.backend}`,
  );
};

/** Hardware virtualization on Linux: Firecracker needs it, QEMU is many times faster with it. */
export const kvm: Check = ({ platform, kvm: facts, backend: chosen }) => {
  const name = "KVM support";
  if (platform !== "linux") {
    return chosen === "firecracker" ? fail(name, facts.detail, "export SMOLVM_BACKEND=qemu") : undefined;
  }
  if (facts.state === "usable") return pass(name, facts.detail);
  return chosen === "firecracker" ? fail(name, facts.detail, facts.fix) : warn(name, facts.detail, facts.fix);
};
