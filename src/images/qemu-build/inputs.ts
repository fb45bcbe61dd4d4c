import { copyFile, mkdir, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { OwnQemuLayout } from "../../host/own-qemu/layout.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { Apt } from "../debian/apt.ts";
import { hostMirror } from "../debian/mirror.ts";
import { sha256File } from "../store/manifest.ts";
import type { QemuInput, QemuRecipe } from "./recipe.ts";

/** An input as it was taken. */
export interface TakenInput extends QemuInput {
  /** it is the version that the recipe names */
  readonly pinned: boolean;
  readonly path: string;
}

export interface InputOptions {
  readonly hostArch: Arch;
  readonly deadline: Deadline;
  readonly workDir: string;
  readonly mirror?: string | undefined;
  /** take what the archive has now instead of the pinned versions */
  readonly newest?: boolean | undefined;
  readonly onMessage: (message: string) => void;
}

/**
 * Has all that a build is made of: what is kept from an earlier one, the rest by apt, which checks it against Debian's signatures. It is
 * compared with the recipe's hashes.
 * @throws SmolVMError DEPENDENCY_MISSING, IMAGE_BUILD_FAILED, TIMEOUT, ABORTED
 */
export async function takeInputs(
  layout: OwnQemuLayout,
  recipe: QemuRecipe,
  options: InputOptions,
): Promise<TakenInput[]> {
  const kept = await Promise.all(
    recipe.inputs.map((input) => isWhole(layout.source(input.sha256), input.sha256)),
  );
  if (!options.newest && kept.every(Boolean))
    return recipe.inputs.map((input) => ({ ...input, pinned: true, path: layout.source(input.sha256) }));

  const mirror = options.mirror ?? (await hostMirror(options.deadline));
  options.onMessage(`reading the package lists of ${mirror}`);
  const apt = await Apt.open(join(options.workDir, "apt"), {
    arch: options.hostArch,
    mirror,
    deadline: options.deadline,
    suite: recipe.suite,
    withSources: true,
  });
  const taken: TakenInput[] = [];
  for (const input of recipe.inputs) {
    options.onMessage(`downloading ${input.package}`);
    taken.push(await take(apt, layout, input, options));
  }
  await forgetOthers(layout, taken);
  return taken;
}

async function take(
  apt: Apt,
  layout: OwnQemuLayout,
  input: QemuInput,
  { newest, deadline, onMessage }: InputOptions,
): Promise<TakenInput> {
  const get = async (version?: string): Promise<string> =>
    input.kind === "source"
      ? await apt.downloadTarball(input.package, version)
      : await apt.download(version === undefined ? input.package : `${input.package}=${version}`);
  const kept = layout.source(input.sha256);
  if (!newest && (await isWhole(kept, input.sha256))) return { ...input, pinned: true, path: kept };
  let file = newest ? undefined : await get(input.version).catch(() => undefined);
  deadline.check();
  const asked = file !== undefined;
  if (file === undefined) {
    // Debian keeps a version for some months; then a build must be possible all the same.
    if (!newest)
      onMessage(`Debian no longer has ${input.package} ${input.version}; taking its newest version`);
    file = await get();
  }
  const sha256 = await sha256File(file);
  if (asked && sha256 !== input.sha256) {
    throw new SmolVMError(
      "IMAGE_BUILD_FAILED",
      `${input.package} ${input.version} is not what the recipe names (sha256 ${sha256} instead of ${input.sha256})`,
      { hint: "Do not use this mirror.", details: { sha256, expected: input.sha256 } },
    );
  }
  const pinned = sha256 === input.sha256;
  const version = pinned
    ? input.version
    : (/_([^_]+?)(?:\.orig)?[._](?:tar|all|amd64|arm64)/.exec(basename(file))?.[1] ?? "");
  const path = layout.source(sha256);
  await keep(file, path);
  return { ...input, sha256, pinned, version: decodeURIComponent(version), path };
}

async function isWhole(path: string, sha256: string): Promise<boolean> {
  try {
    return (await sha256File(path)) === sha256;
  } catch {
    return false; // not there
  }
}

async function keep(file: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const temporary = `${target}.${process.pid}.tmp`;
  await copyFile(file, temporary);
  await rename(temporary, target);
}

async function forgetOthers({ sources }: OwnQemuLayout, taken: readonly TakenInput[]): Promise<void> {
  for (const name of await readdir(sources))
    if (!taken.some(({ sha256 }) => name === sha256)) await rm(join(sources, name), { force: true });
}
