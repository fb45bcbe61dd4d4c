import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { encodeEntry, padding } from "../../src/util/tar/header.ts";

/** One entry of a layer, as a tar has it. */
export interface LayerEntry {
  readonly path: string;
  /** the type flag; default "0", a file, or "5" if the path ends in a slash */
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** in s since 1970 */
  readonly mtime?: number;
  readonly target?: string;
  readonly content?: string | Uint8Array;
  readonly major?: number;
  readonly minor?: number;
  /** extended header records besides */
  readonly pax?: Readonly<Record<string, string>>;
}

/** The tar of these entries. Names are bytes, each as one character. */
export function layerTar(entries: readonly LayerEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    if (entry.pax !== undefined) {
      const records = Buffer.from(
        Object.entries(entry.pax)
          .map(([key, value]) => record(key, value))
          .join(""),
        "latin1",
      );
      parts.push(
        header({ path: "pax", type: "x" }, records.length),
        records,
        Buffer.alloc(padding(records.length)),
      );
    }
    const content = Buffer.from(entry.content ?? "");
    parts.push(header(entry, content.length), content, Buffer.alloc(padding(content.length)));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

function header(entry: LayerEntry, size: number): Buffer {
  const isDirectory = entry.path.endsWith("/");
  const block = encodeEntry({
    name: Buffer.from(entry.path, "latin1"),
    mode: entry.mode ?? (isDirectory ? 0o755 : 0o644),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    size,
    mtime: entry.mtime ?? 1_000_000_000,
    type: entry.type ?? (isDirectory ? "5" : "0"),
    linkName: Buffer.from(entry.target ?? "", "latin1"),
  });
  if (entry.major === undefined) return block;
  const octal = (value = 0): string => `${value.toString(8).padStart(7, "0")}\0`;
  block.write(octal(entry.major), 329, "latin1");
  block.write(octal(entry.minor), 337, "latin1");
  block.write("        ", 148, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`.length;
  let length = rest + 1;
  while (String(length).length + rest !== length) length++;
  return `${length} ${key}=${value}\n`;
}

export interface LayoutImage {
  readonly layers: readonly (readonly LayerEntry[] | Buffer)[];
  /** the part of the config that says how it is run */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly packing?: "gzip" | "zstd" | "none";
  readonly architecture?: string;
  readonly tag?: string;
  /** how it says that it was made */
  readonly history?: readonly object[];
}

/** What was put into a layout, by its digests. */
export interface MadeImage {
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly layerDigests: readonly string[];
  readonly manifest: Buffer;
}

/** Writes an image in the OCI layout into a directory. */
export function writeLayout(directory: string, image: LayoutImage): MadeImage {
  const blobs = join(directory, "blobs", "sha256");
  mkdirSync(blobs, { recursive: true });
  const add = (bytes: Buffer, mediaType: string): { mediaType: string; digest: string; size: number } => {
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(join(blobs, hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const { packing = "gzip", architecture = "amd64", tag = "latest" } = image;
  const tars = image.layers.map((layer) => (Buffer.isBuffer(layer) ? layer : layerTar(layer)));
  const suffix = { gzip: "+gzip", zstd: "+zstd", none: "" }[packing];
  const pack = { gzip: gzipSync, zstd: zstdCompressSync, none: (bytes: Buffer) => bytes }[packing];
  const layers = tars.map((tar) => add(pack(tar), `application/vnd.oci.image.layer.v1.tar${suffix}`));
  const diffIds = tars.map((tar) => `sha256:${createHash("sha256").update(tar).digest("hex")}`);
  const config = add(
    Buffer.from(
      JSON.stringify({
        architecture,
        os: "linux",
        config: image.config ?? {},
        rootfs: { type: "layers", diff_ids: diffIds },
        ...(image.history === undefined ? {} : { history: image.history }),
      }),
    ),
    "application/vnd.oci.image.config.v1+json",
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config,
      layers,
    }),
  );
  const top = add(manifest, "application/vnd.oci.image.manifest.v1+json");
  writeFileSync(join(directory, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  writeFileSync(
    join(directory, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ ...top, annotations: { "org.opencontainers.image.ref.name": tag } }],
    }),
  );
  return {
    manifestDigest: top.digest,
    configDigest: config.digest,
    layerDigests: layers.map(({ digest }) => digest),
    manifest,
  };
}
