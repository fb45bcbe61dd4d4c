import { createHash } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Deadline } from "../../util/deadline.ts";
import type { ManifestFile } from "../store/manifest.ts";
import { badBundle } from "./bundle-manifest.ts";
import type { BundleEntry, OpenBundle } from "./open.ts";

/**
 * Writes a bundle's files below `into`, and checks each against the manifest: no file that is not listed, none twice, none
 * larger than it says, none missing, all hashes right. Nothing outside `into` is touched, and no more is written than the
 * manifest says.
 * @param onBytes told how many bytes have come since the last call
 * @throws SmolVMError IMAGE_INVALID, TIMEOUT, ABORTED
 */
export async function unpackBundle(
  { manifest, entries }: OpenBundle,
  into: string,
  { deadline, onBytes }: { deadline: Deadline; onBytes?: (count: number) => void },
): Promise<void> {
  const missing = new Map(manifest.files.map((file) => [file.path, file]));
  for await (const entry of entries) {
    const wanted = missing.get(entry.path);
    if (wanted === undefined) throw badBundle(`it holds '${entry.path}', which it does not list`);
    missing.delete(entry.path);
    await unpackFile(entry, wanted, join(into, entry.path), deadline, onBytes);
  }
  const [first] = missing.keys();
  if (first !== undefined) throw badBundle(`'${first}' is missing`);
}

async function unpackFile(
  entry: BundleEntry,
  wanted: ManifestFile,
  target: string,
  deadline: Deadline,
  onBytes?: (count: number) => void,
): Promise<void> {
  if (entry.sizeBytes !== wanted.sizeBytes) throw badBundle(`'${entry.path}' has not the size that it lists`);
  await mkdir(dirname(target), { recursive: true, mode: 0o700 });
  const hash = createHash("sha256");
  let size = 0;
  const file = await open(target, "wx", 0o600);
  try {
    for await (const chunk of entry.data) {
      deadline.check();
      size += chunk.length;
      if (size > wanted.sizeBytes) throw badBundle(`'${entry.path}' is larger than it says`);
      hash.update(chunk);
      await file.writeFile(chunk);
      onBytes?.(chunk.length);
    }
  } finally {
    await file.close();
  }
  if (size !== wanted.sizeBytes || hash.digest("hex") !== wanted.sha256)
    throw badBundle(`'${entry.path}' is not what it lists (its hash is wrong)`);
}
