import { createHash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdCompress } from "node:zlib";
import type { VmSpec } from "../../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { joinLayers } from "../../host/monitor/layers.ts";
import { partialPath, removeStalePartials } from "../../host/process/partial-file.ts";
import { dataExtents } from "../../images/disk/compact.ts";
import { checkLayers, pathsOf } from "../../snapshots/layers.ts";
import { PORTABLE_FORMAT, type PortableFile, type PortableManifest } from "../../snapshots/portable.ts";
import type { Snapshot } from "../../snapshots/snapshots.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rename, rm } from "../../util/files-go.ts";
import { isNoSpace, orNoSpace } from "../../util/no-space.ts";
import { BLOCK_BYTES, encodeEntry, padding } from "../../util/tar/header.ts";
import type { Home } from "../home.ts";
import { needsHere } from "./portable-host.ts";
import { useSnapshot } from "./use-snapshot.ts";
import { withWorkDir } from "./work.ts";

const CHUNK_BYTES = 1 << 20;

/**
 * Writes a snapshot into one file, for another machine or for later. It appears when it is whole.
 * @param to must not exist
 * @throws SmolVMError SNAPSHOT_NOT_FOUND, SNAPSHOT_INVALID, FILE_EXISTS, NOT_SUPPORTED (its image is a file of one's own), NO_SPACE, HOST_FAILED, TIMEOUT, ABORTED
 */
export async function exportSnapshot(
  home: Home,
  name: string,
  to: string,
  deadline: Deadline,
): Promise<void> {
  await useSnapshot(home.paths, name, (snapshot) => write(home, snapshot, to, deadline));
}

async function write(home: Home, snapshot: Snapshot, to: string, deadline: Deadline): Promise<void> {
  const { layers } = checkLayers(home.paths, snapshot);
  if (existsSync(to)) {
    throw new SmolVMError("FILE_EXISTS", `'${to}' exists`, {
      hint: "Choose another name, or remove it.",
      details: { path: to },
    });
  }
  // Of layers nobody else knows: it is whole in the file.
  if (layers.length === 1) return await writeSnapshot(home, snapshot, to, deadline);
  await withWorkDir(home, async ({ dir: _, state: __, manifest: ___, ...work }) => {
    const { kind } = snapshot.manifest;
    for (const what of kind === "full" ? (["disk", "memory"] as const) : (["disk"] as const))
      await joinLayers(pathsOf(layers, what), work[what], deadline);
    await writeSnapshot(home, { ...snapshot, files: { ...snapshot.files, ...work } }, to, deadline);
  });
}

async function writeSnapshot(home: Home, snapshot: Snapshot, to: string, deadline: Deadline): Promise<void> {
  const partial = partialPath(to);
  try {
    await removeStalePartials(to);
    const manifest = await portable(home, snapshot, deadline);
    const file = await open(partial, "wx", 0o600);
    failpoint("while exporting");
    await pipeline(
      Readable.from(archive(manifest, snapshot)),
      createZstdCompress(),
      file.createWriteStream({ flush: true }),
      { signal: deadline.signal },
    );
    failpoint("before exported");
    await rename(partial, to);
  } catch (error) {
    await rm(partial, { force: true });
    deadline.check();
    throw exportError(error, to);
  }
}

async function portable(
  home: Home,
  { manifest, files }: Snapshot,
  deadline: Deadline,
): Promise<PortableManifest> {
  const { name, kind, createdAt, source, spec } = manifest;
  return {
    smolvmSnapshot: PORTABLE_FORMAT,
    name,
    kind,
    createdAt,
    source,
    config: configOf(spec),
    imageDigest: spec.imageDigest,
    disk: await describe(files.disk, deadline),
    ...(kind === "full"
      ? {
          memory: await describe(files.memory, deadline),
          state: await describe(files.state, deadline),
          needs: {
            ...(await needsHere(home, spec)),
            ...(manifest.memory?.withoutSlirp ? { withoutSlirp: true } : {}),
          },
        }
      : {}),
  };
}

/** The options that make such a sandbox. @throws SmolVMError NOT_SUPPORTED */
function configOf(spec: VmSpec): Record<string, unknown> {
  const { machine, image, imageDigest } = spec;
  if (image === "" || imageDigest === "" || spec.kernel === "custom" || machine.disks.length !== 2) {
    throw new SmolVMError(
      "NOT_SUPPORTED",
      "its image, kernel or drives are files of your own, which no other machine has",
      {
        hint: "Snapshots of sandboxes that were made from an image alone can be exported.",
      },
    );
  }
  const config = {
    image,
    backend: machine.backend,
    arch: machine.arch,
    vcpuCount: machine.vcpuCount,
    memSizeMib: machine.memSizeMib,
    diskSizeMib: spec.diskSizeMib,
    kernel: spec.kernel,
    network: networkOf(spec),
    // Named, so that its machine has one wherever it goes on.
    networkRateLimitMbps: spec.networkRateLimitMbps,
    qemuNetwork: machine.backend === "qemu" ? machine.networkCard : undefined,
    qemuMachine: machine.machine === "q35" ? "q35" : undefined,
    bootArgs: machine.bootArgs,
    env: spec.env,
    workdir: spec.workdir,
    user: spec.user,
    limits: spec.limits,
  };
  return Object.fromEntries(
    Object.entries(config).filter(([, value]) => value !== undefined && value !== ""),
  );
}

function networkOf({ machine, networkPolicy, openByDoor }: VmSpec): unknown {
  if (openByDoor !== undefined) return "open";
  return networkPolicy === undefined ? machine.network : { mode: machine.network, ...networkPolicy };
}

async function describe(path: string, deadline: Deadline): Promise<PortableFile> {
  const parts = (await dataExtents(path, deadline)).map(({ offset, length }) => [offset, length] as const);
  const hash = createHash("sha256");
  for await (const chunk of read(path, parts)) {
    deadline.check();
    hash.update(chunk);
  }
  return { size: (await stat(path)).size, parts, sha256: hash.digest("hex") };
}

async function* archive(manifest: PortableManifest, { files }: Snapshot): AsyncGenerator<Uint8Array> {
  const text = Buffer.from(JSON.stringify(manifest));
  yield* entry("manifest.json", text.length, Readable.from([text]));
  for (const name of ["disk", "memory", "state"] as const) {
    const file = manifest[name];
    if (file === undefined) continue;
    const bytes = file.parts.reduce((sum, [, length]) => sum + length, 0);
    yield* entry(name, bytes, read(files[name], file.parts));
  }
  yield Buffer.alloc(2 * BLOCK_BYTES); // the end of an archive
}

async function* entry(
  name: string,
  size: number,
  content: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const none = new Uint8Array();
  yield encodeEntry({
    name: Buffer.from(name),
    mode: 0o600,
    uid: 0,
    gid: 0,
    size,
    mtime: 0,
    type: "0",
    linkName: none,
  });
  yield* content;
  if (padding(size) > 0) yield Buffer.alloc(padding(size));
}

async function* read(
  path: string,
  parts: readonly (readonly [number, number])[],
): AsyncGenerator<Uint8Array> {
  for (const [start, length] of parts)
    yield* createReadStream(path, { start, end: start + length - 1, highWaterMark: CHUNK_BYTES });
}

function exportError(error: unknown, to: string): unknown {
  if (isSmolVMError(error)) return error;
  const { code: errno, message } = error as NodeJS.ErrnoException;
  const details = { path: to, errno };
  if (isNoSpace(error)) return orNoSpace(error, `no space left for '${to}'`, dirname(to), { details });
  if (errno === "ENOENT")
    return new SmolVMError("FILE_NOT_FOUND", `there is no directory '${dirname(to)}'`, {
      hint: `Make it first: mkdir -p '${dirname(to)}'`,
      details,
      cause: error,
    });
  return new SmolVMError("HOST_FAILED", `'${to}' cannot be written: ${message}`, { details, cause: error });
}
