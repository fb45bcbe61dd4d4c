import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { packageDir } from "../../host/package.ts";

/** Something of Debian's that a build is made of. */
export interface QemuInput {
  /** "source": its original tarball; "package": its .deb file, of this machine's architecture */
  readonly kind: "source" | "package";
  readonly package: string;
  readonly version: string;
  /** sha256 (hex) of that file */
  readonly sha256: string;
}

/** Everything that decides what a QEMU will be, apart from the compiler and the libraries of this machine. */
export interface QemuRecipe {
  readonly arch: Arch;
  readonly dir: string;
  /** the Debian release that it is taken from */
  readonly suite: string;
  readonly inputs: readonly QemuInput[];
  /** of QEMU's configure */
  readonly options: readonly string[];
  /** the devices, as Kconfig lines */
  readonly devices: string;
  /** what the finished program must list, and nothing else: "device NAME", "machine NAME" */
  readonly expected: readonly string[];
  /** names of the changes to QEMU's source, in their order */
  readonly patches: readonly string[];
  /** sha256 (hex) over all of this */
  readonly key: string;
}

/** Files of our own that become part of QEMU's source, and where. */
export const OWN_FILES: Readonly<Record<string, string>> = {
  "translations.h": "accel/tcg/translations.h",
  "translations.c.inc": "accel/tcg/translations.c.inc",
  "translations.qapi": "qapi/translations.json",
};

/** Guests whose QEMU is built. */
export const QEMU_ARCHES: readonly Arch[] = ["x86_64"];

/** Raised when the way QEMUs are built changes. */
const BUILD_VERSION = 2;

/** Directory of the recipe that comes with the package: qemu/ beside src/ and dist/. */
export function qemuRecipeDir(): string {
  return join(packageDir(), "qemu");
}

/**
 * Reads the recipe for an architecture's guests.
 * @throws SmolVMError NOT_SUPPORTED: there is none; IMAGE_BUILD_FAILED: a file is missing or damaged
 */
export async function readQemuRecipe(arch: Arch, dir: string = qemuRecipeDir()): Promise<QemuRecipe> {
  if (!QEMU_ARCHES.includes(arch)) {
    throw new SmolVMError("NOT_SUPPORTED", `there is no QEMU of our own for ${arch} guests`, {
      hint: "They run on the distribution's.",
    });
  }
  const read = async (name: string): Promise<string> => {
    try {
      return await readFile(join(dir, name), "utf8");
    } catch (error) {
      throw new SmolVMError("IMAGE_BUILD_FAILED", `the recipe for QEMU has no '${name}'`, {
        hint: `It should be in '${dir}'. Install smolvm again.`,
        cause: error,
      });
    }
  };
  const { suite, inputs } = parseInputs(await read("recipe.json"));
  const devices = await read(`${arch}.mak`);
  const options = lines(await read(`${arch}.options`));
  const expected = lines(await read(`${arch}.devices`)).sort();
  const patches = (await readdir(join(dir, "patches")).catch(() => []))
    .filter((name) => name.endsWith(".patch"))
    .sort();
  const names = [...Object.keys(OWN_FILES), ...patches.map((name) => `patches/${name}`)];
  const texts = await Promise.all(names.map(read));
  const key = createHash("sha256")
    .update(
      JSON.stringify([
        BUILD_VERSION,
        arch,
        suite,
        inputs,
        lines(devices),
        options,
        expected,
        OWN_FILES,
        names,
        texts,
      ]),
    )
    .digest("hex");
  return { arch, dir, suite, inputs, options, devices, expected, patches, key };
}

/** The lines of a file that say something: no comments, nothing empty. Pure. */
export function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/**
 * The text of recipe.json. Pure.
 * @throws SmolVMError IMAGE_BUILD_FAILED
 */
export function parseInputs(text: string): Pick<QemuRecipe, "suite" | "inputs"> {
  try {
    const { suite, sources, packages } = JSON.parse(text) as Record<string, unknown>;
    const inputs = [...inputsOf("source", sources), ...inputsOf("package", packages)];
    if (typeof suite === "string" && /^[a-z]+$/.test(suite)) return { suite, inputs };
  } catch {
    // told below
  }
  throw new SmolVMError("IMAGE_BUILD_FAILED", "the recipe.json for QEMU is damaged", {
    hint: "It names Debian's packages with their versions and the sha256 of what is taken of each.",
  });
}

function inputsOf(kind: QemuInput["kind"], list: unknown): QemuInput[] {
  return (list as Record<string, unknown>[]).map(({ package: name, version, sha256 }) => {
    const fits =
      /^[a-z0-9][a-z0-9.+-]+$/.test(String(name)) &&
      /^[\w.+~:-]+$/.test(String(version)) &&
      /^[0-9a-f]{64}$/.test(String(sha256));
    if (!fits) throw new Error("not an input");
    return { kind, package: String(name), version: String(version), sha256: String(sha256) };
  });
}
