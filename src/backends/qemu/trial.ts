import type { Accelerator, Arch } from "../../config/spec.ts";
import { cachedJson } from "../../host/files/cached-json.ts";
import { bootStamp } from "../../host/hardware/boot-stamp.ts";
import { messageOf } from "../../util/message-of.ts";
import { converse, type QemuProbe, qemuIdentity } from "./probe.ts";

/**
 * What a QEMU could not do when it was tried here, in its own words. That it was built with something does not say that this host has it
 * (WHPX is a feature of Windows that is off by default, macOS in a virtual machine has no HVF), nor that its firmware came with it.
 */
export interface QemuTrial {
  /** why it cannot use the hardware's acceleration; absent: it can, or was built with none that was tried */
  readonly hardware?: string;
  /** why it has no machine microvm, which it was built with */
  readonly microvm?: string;
}

/** Where that is tried. On Linux KVM is asked itself (host/hardware/kvm.ts), and distributions' packages bring their firmware. */
const TRIED: Readonly<Partial<Record<NodeJS.Platform, Accelerator>>> = { win32: "whpx", darwin: "hvf" };

/** Both kinds of microvm that machines have (args.ts): each has a firmware of its own. */
const MICROVMS = ["microvm,acpi=off", "microvm,acpi=on"];

/** Nothing could not be done. */
const FINE: QemuTrial = {};

/**
 * Tries a QEMU: once for each file and each start of the host, as features are switched on by restarting it.
 * @param guests the architecture of its guests; @param host the host's
 */
export async function tryQemu(
  path: string,
  probe: QemuProbe,
  {
    guests,
    host,
    cacheDir,
  }: { readonly guests: Arch; readonly host: Arch | undefined; readonly cacheDir: string },
  platform: NodeJS.Platform = process.platform,
): Promise<QemuTrial> {
  const accelerator = TRIED[platform];
  if (accelerator === undefined) return FINE;
  const { key, name } = qemuIdentity(path);
  return await cachedJson(
    `${cacheDir}/qemu-${name}-tried.json`,
    `${key} ${bootStamp()}`,
    isTrial,
    async () => {
      const hardware =
        guests === host && probe.accelerators.includes(accelerator)
          ? await refusal(path, ["-M", "none", "-accel", accelerator])
          : undefined;
      const refusals = probe.machines.includes("microvm")
        ? await Promise.all(MICROVMS.map((machine) => refusal(path, ["-M", machine, "-accel", "tcg"])))
        : [];
      const microvm = refusals.find((why) => why !== undefined);
      return {
        ...(hardware === undefined ? {} : { hardware }),
        ...(microvm === undefined ? {} : { microvm }),
      };
    },
  );
}

/** Why it does not start so, or undefined if it does. */
async function refusal(path: string, machine: readonly string[]): Promise<string | undefined> {
  try {
    const { output, said } = await converse(path, machine, []);
    return output === undefined ? said : undefined;
  } catch (error) {
    return messageOf(error); // it did not end in time
  }
}

function isTrial(value: unknown): value is QemuTrial {
  const trial = value as QemuTrial | null;
  const isText = (part: unknown): boolean => part === undefined || typeof part === "string";
  return typeof trial === "object" && trial !== null && isText(trial.hardware) && isText(trial.microvm);
}
