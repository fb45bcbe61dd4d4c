import { BACKEND_FEATURES } from "../../src/backends/features.ts";
import type { VMConfig } from "../../src/config/options.ts";
import type { Arch, BackendName } from "../../src/config/spec.ts";
import { hostArch } from "../../src/host/hardware/facts.ts";

/**
 * The backends that the contract suite runs on: SMOLVM_TEST_BACKENDS (comma separated), default qemu. A backend that
 * is named must work: the suite skips nothing but what a backend declares that it lacks.
 */
export const BACKENDS: readonly string[] = (process.env.SMOLVM_TEST_BACKENDS ?? "qemu").split(",");

/** The guests' architecture: SMOLVM_TEST_ARCH, default the host's. */
export const ARCH: Arch = oneOf("SMOLVM_TEST_ARCH", ["x86_64", "aarch64"]) ?? hostArch() ?? "x86_64";

/** The guests' kernel: SMOLVM_TEST_KERNEL (debian or fast, which then must be there), default what users get. */
const KERNEL = oneOf("SMOLVM_TEST_KERNEL", ["debian", "fast"]);

/**
 * The guests' image: SMOLVM_TEST_IMAGE, default debian, or one that is pulled (oci:DIRECTORY, a registry's). On minimal, which every architecture has, and on
 * one that is pulled what needs Python is left out (tests/contract/left-out.ts).
 */
const PULLED = /[:/]/.test(process.env.SMOLVM_TEST_IMAGE ?? "") ? process.env.SMOLVM_TEST_IMAGE : undefined;
const IMAGE = PULLED ?? oneOf("SMOLVM_TEST_IMAGE", ["debian", "minimal"]);
export const IMAGE_NAME: string = IMAGE ?? "debian";
export const HAS_PYTHON: boolean = IMAGE_NAME === "debian";

/** The guests' virtual CPUs: SMOLVM_TEST_CPUS, default what users get. */
const CPUS = oneOf("SMOLVM_TEST_CPUS", ["1", "2", "4"]);

/** The smallest sandbox that serves a test: no network card, little memory. In the lab it must have KVM. */
export function small(backend: string, options: VMConfig = {}): VMConfig {
  const kernel = KERNEL === undefined || options.kernelPath !== undefined ? {} : { kernel: KERNEL };
  const accelerator = process.env.SMOLVM_LAB === undefined ? "auto" : "kvm";
  const image = IMAGE === undefined ? {} : { image: IMAGE };
  const cpus = CPUS === undefined ? {} : { vcpuCount: Number(CPUS) };
  return {
    backend,
    network: "off",
    memSizeMib: 256,
    arch: ARCH,
    accelerator,
    ...kernel,
    ...image,
    ...cpus,
    ...options,
  };
}

/** Whether a backend's machines can have a network card without anything being set up on the host. */
export function hasSlirp(backend: string): boolean {
  return BACKEND_FEATURES[backend as BackendName].networkCards.includes("slirp");
}

// A wrong word would test something else than was meant, in silence.
function oneOf<T extends string>(variable: string, values: readonly T[]): T | undefined {
  const text = process.env[variable] || undefined;
  if (text === undefined) return undefined;
  const value = values.find((candidate) => candidate === text);
  if (value === undefined) throw new Error(`${variable} is not one of ${values.join(", ")}: '${text}'`);
  return value;
}
