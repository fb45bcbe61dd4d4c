import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { VmSpec } from "../../config/spec.ts";
import type { FileRole } from "../../snapshots/machine-facts.ts";
import type { PortableNeeds } from "../../snapshots/portable.ts";
import type { Home } from "../home.ts";
import { machineFacts } from "../templates/facts.ts";

/** What a memory goes on with on this machine, by content. @throws as statSync does, for what is gone */
export async function needsHere({ paths }: Home, spec: VmSpec): Promise<PortableNeeds> {
  const { shape, files, cpu } = machineFacts(paths, spec);
  const hashOf = async (role: FileRole): Promise<string> => {
    const hash = createHash("sha256");
    for (const file of files.filter((file) => file.role === role))
      await pipeline(createReadStream(file.path), hash);
    return hash.digest("hex");
  };
  const [vmm, kernel, initrd] = await Promise.all([hashOf("vmm"), hashOf("kernel"), hashOf("initrd")]);
  return { cpu, shape, vmm, kernel, initrd };
}
