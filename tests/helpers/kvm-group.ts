import { chmodSync, chownSync } from "node:fs";

/** A group of /dev/kvm's own, as udev makes one. */
export const KVM_GROUP = 47_111;

/** As root, in the lab: opens /dev/kvm to that group, or to root alone. */
export function openKvmTo(whom: "group" | "root"): void {
  chownSync("/dev/kvm", 0, whom === "group" ? KVM_GROUP : 0);
  chmodSync("/dev/kvm", whom === "group" ? 0o660 : 0o600);
}
