import { createHash, randomBytes } from "node:crypto";
import { readFileSync, statSync, utimesSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { cachedJsonSync } from "../../host/files/cached-json.ts";
import { rename, rm } from "../../util/files-go.ts";
import { shortHash } from "../../util/short-hash.ts";
import {
  CPIO_CHARACTER_DEVICE,
  CPIO_DIRECTORY,
  CPIO_FILE,
  type CpioEntry,
  writeCpio,
} from "../formats/cpio.ts";
import type { KernelModule } from "../store/image.ts";
import { type ImageDirs, imageLayout } from "../store/layout.ts";
import { loadOrder, type ModuleNeeds, wantedModules } from "./modules.ts";

/** Goes into the key of every initramfs: raised when the archive's layout changes. */
const LAYOUT_VERSION = 1;

/** One file of an initramfs's /modules, in load order. */
export interface InitramfsModule {
  readonly name: string;
  readonly data: Uint8Array;
}

export interface InitrdOptions extends ModuleNeeds {
  /** the static agent for the guest's architecture; becomes /init */
  readonly agentPath: string;
}

/**
 * The initramfs for one kind of boot: the agent as /init, and exactly the modules which that machine needs, because each
 * one costs time under emulation. It is made when first asked for and kept, keyed by all that is in it: a new agent makes
 * a new initramfs for an image without building the image again.
 *
 * There is one for every {machine, nic, rootfsFormat, overlay, mounted} in use; PROTOCOL.md, section 4, describes what the agent
 * finds in it.
 * @param modules the image's, or none for a kernel of the user's own that has everything built in
 * @returns its path
 * @throws SmolVMError DEPENDENCY_MISSING (no agent), IMAGE_INVALID
 */
export async function prepareInitrd(
  dirs: ImageDirs,
  modules: readonly KernelModule[],
  options: InitrdOptions,
): Promise<string> {
  const order = loadOrder(modules, wantedModules(options));
  const path = join(imageLayout(dirs).initrds, `${keptKey(dirs, options.agentPath, order)}.cpio`);
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) {
    markUsed(path);
    return path;
  }
  const agent = readAgent(options.agentPath);
  const contents: InitramfsModule[] = [];
  for (const module of order) contents.push({ name: module.name, data: await readModule(module) });
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString("hex")}.tmp`;
  try {
    await writeFile(temporary, writeCpio(initramfsEntries(agent, contents)), { mode: 0o600 });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return path;
}

/** The entries of an initramfs: /init, /dev/console for what is said before /dev is mounted, /modules and its order. Pure. */
export function initramfsEntries(agent: Uint8Array, modules: readonly InitramfsModule[]): CpioEntry[] {
  const file = (name: string): string => `${name}.ko`;
  return [
    { path: "dev", mode: CPIO_DIRECTORY | 0o755 },
    { path: "dev/console", mode: CPIO_CHARACTER_DEVICE | 0o600, device: [5, 1] },
    { path: "init", mode: CPIO_FILE | 0o755, data: agent },
    { path: "modules", mode: CPIO_DIRECTORY | 0o755 },
    {
      path: "modules/order",
      mode: CPIO_FILE | 0o644,
      data: Buffer.from(modules.map(({ name }) => `${file(name)}\n`).join("")),
    },
    ...modules.map(({ name, data }) => ({ path: `modules/${file(name)}`, mode: CPIO_FILE | 0o644, data })),
  ];
}

/** {@link initrdKey}, read and hashed once for each agent. */
function keptKey(dirs: ImageDirs, agentPath: string, order: readonly KernelModule[]): string {
  const find = (): string => initrdKey(readAgent(agentPath), order);
  const agent = statSync(agentPath, { throwIfNoEntry: false });
  if (agent === undefined) return find(); // which says so
  const { size, mtimeMs, ctimeMs, ino } = agent;
  const key = JSON.stringify([LAYOUT_VERSION, agentPath, size, mtimeMs, ctimeMs, ino, order]);
  const name = shortHash(JSON.stringify([agentPath, order.map((module) => module.name)]));
  return cachedJsonSync(join(dirs.cacheDir, `initrd-${name}.json`), key, isText, find);
}

const isText = (value: unknown): value is string => typeof value === "string";

function initrdKey(agent: Uint8Array, order: readonly KernelModule[]): string {
  const hash = createHash("sha256").update(`${LAYOUT_VERSION}\n`);
  hash.update(createHash("sha256").update(agent).digest());
  for (const { name, sha256 } of order) hash.update(`${name} ${sha256}\n`);
  return hash.digest("hex");
}

function readAgent(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new SmolVMError("DEPENDENCY_MISSING", `the guest agent '${basename(path)}' is not built`, {
      hint: "In a checkout, build it: npm run build:native. In an installed package, install smolvm again.",
      details: { path },
      cause: error,
    });
  }
}

async function readModule(module: KernelModule): Promise<Uint8Array> {
  try {
    const data = await readFile(module.path);
    if (createHash("sha256").update(data).digest("hex") === module.sha256) return data;
  } catch {
    // told below, as a file that has changed
  }
  throw new SmolVMError("IMAGE_INVALID", `the kernel module '${module.path}' is missing or has changed`, {
    hint: "Build the image again: smolvm image build --force",
  });
}

/** Its time tells what is still used when the cache is cleaned. */
function markUsed(path: string): void {
  try {
    utimesSync(path, new Date(), new Date());
  } catch {
    // a cache that cannot be written
  }
}
