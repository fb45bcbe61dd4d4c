import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { ManifestFile } from "./manifest.ts";

/** What a built kernel is and what it was made of: its manifest.json. */
export interface KernelManifest {
  readonly version: 1;
  readonly arch: Arch;
  /** what `uname -r` says, e.g. "6.1.192-smolvm" */
  readonly kernelVersion: string;
  /** sha256 (hex) over the recipe: another recipe means another build */
  readonly recipe: string;
  readonly source: {
    /** Debian package, e.g. "linux-source-6.1" */
    readonly package: string;
    readonly version: string;
    /** sha256 (hex) of the .deb file */
    readonly sha256: string;
    /** it is the version that the recipe pins */
    readonly pinned: boolean;
    readonly license: "GPL-2.0-only";
  };
  /** what was changed in it, from kernel/patches, in this order */
  readonly patches: readonly { readonly name: string; readonly sha256: string }[];
  /** first line of the compiler's --version, e.g. "x86_64-linux-gnu-gcc (Debian 12.2.0-14+deb12u1) 12.2.0" */
  readonly compiler: string;
  /** file that is booted: vmlinux or Image */
  readonly file: string;
  /** that file, config (the full .config) and System.map */
  readonly files: readonly ManifestFile[];
  /** ISO 8601 */
  readonly createdAt: string;
}

/**
 * Reads a kernel's manifest. It is a file of our own, so what matters is that a damaged or newer one is told.
 * @throws SmolVMError IMAGE_INVALID
 */
export function parseKernelManifest(text: string, path: string): KernelManifest {
  let value: Partial<KernelManifest> | undefined;
  try {
    value = JSON.parse(text) as Partial<KernelManifest>;
  } catch {
    // told below
  }
  if (value?.version !== undefined && value.version !== 1) {
    throw damaged(path, "is of a version that this smolvm does not know");
  }
  const files = Array.isArray(value?.files) ? value.files : [];
  const known = value?.arch === "x86_64" || value?.arch === "aarch64";
  const safe = files.every(({ path: name }) => typeof name === "string" && /^[\w][\w.-]*$/.test(name));
  if (value?.version !== 1 || !known || !safe || !files.some(({ path: name }) => name === value.file)) {
    throw damaged(path, "is damaged");
  }
  return value as KernelManifest;
}

function damaged(path: string, what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `the kernel manifest '${path}' ${what}`, {
    hint: "Build the kernel again: smolvm image kernel build --force",
  });
}
