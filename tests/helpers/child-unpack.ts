/**
 * Run as a process of its own: unpacks layers into a directory that is on a small file system, and prints what then is there, as JSON.
 */

import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { unpackImage } from "../../src/images/unpack/unpack-image.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { readErofs } from "./read-erofs.ts";

const [directory, ...layers] = process.argv.slice(2) as [string, ...string[]];
const target = join(directory, "rootfs.erofs");
let error: unknown;
await unpackImage(
  target,
  layers.map((path) => ({ path })),
  { image: "a test's", identity: "test", directories: [], deadline: Deadline.of("unpacking") },
).catch((thrown: unknown) => {
  error = (thrown as { code?: string }).code;
});
const files = error === undefined ? [...readErofs(target)].map(([path, { sha256 }]) => [path, sha256]) : [];
const kept = readdirSync(directory).filter((name) => name !== basename(target));
process.stdout.write(JSON.stringify({ error, files: Object.fromEntries(files), kept }));
