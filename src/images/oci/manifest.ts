import { SmolVMError } from "../../errors.ts";

/*
 * Manifests and indexes (https://github.com/opencontainers/image-spec; Docker's version 2, schema 2). They come from anywhere:
 * nothing is believed but what is checked here, and what they point to is checked by digest and size.
 */

export const MEDIA_TYPES = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
} as const;

/** What a registry is asked for, best first. */
export const ACCEPTED: readonly string[] = [
  MEDIA_TYPES.ociIndex,
  MEDIA_TYPES.ociManifest,
  MEDIA_TYPES.dockerList,
  MEDIA_TYPES.dockerManifest,
];

/** Largest manifest, index or config that is read: registries take 4 MiB. */
export const MAX_DOCUMENT_BYTES: number = 4 * 1024 * 1024;
/** No layer is larger, packed. */
const MAX_BLOB_BYTES = 64 * 1024 ** 3;
const MAX_LAYERS = 500;
const MAX_MANIFESTS = 1000;

/** What something is, how large, and its hash. */
export interface Descriptor {
  readonly mediaType: string;
  /** "sha256:..." */
  readonly digest: string;
  /** bytes */
  readonly size: number;
}

/** Where the OCI image layout has what a digest names (image-spec, image-layout.md). Pure. */
export function layoutBlob(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

/** One image for one kind of machine. */
export interface ImageManifest {
  readonly kind: "manifest";
  readonly config: Descriptor;
  /** from the lowest up */
  readonly layers: readonly Descriptor[];
}

/** What kind of machine an image is for, in the words of Go (GOOS, GOARCH). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

/** The same image for several kinds of machine. */
export interface ImageIndex {
  readonly kind: "index";
  readonly manifests: readonly (Descriptor & {
    readonly platform: Platform | undefined;
    readonly tag: string | undefined;
  })[];
}

const LAYER_TYPES =
  /^application\/vnd\.(?:oci\.image\.layer(?:\.nondistributable)?\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.(?:diff|foreign\.diff)\.tar(?:\.(?:gzip|zstd))?)$/;
const CONFIG_TYPES: readonly string[] = [MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig];

/**
 * Reads a manifest or index. Pure.
 * @param mediaType as the registry, or who points at it, says; used where the document itself says nothing
 * @param name of the image, for errors
 * @throws SmolVMError IMAGE_INVALID, NOT_SUPPORTED (schema 1, an artifact)
 */
export function parseManifestDocument(
  bytes: Uint8Array,
  mediaType: string,
  name: string,
): ImageManifest | ImageIndex {
  const document = jsonObject(bytes, name, "manifest");
  const said = typeof document.mediaType === "string" ? document.mediaType : mediaType.split(";")[0]!.trim();
  if (
    document.schemaVersion === 1 ||
    (/\.v1\+(?:json|prettyjws)$/.test(said) && said.includes("docker.distribution.manifest"))
  )
    throw new SmolVMError(
      "NOT_SUPPORTED",
      `'${name}' has a manifest of Docker's first schema, which nobody writes any more`,
      {
        hint: `Push it again with a newer tool: docker pull ${name} && docker push ${name}`,
      },
    );
  if (document.schemaVersion !== 2) throw invalid(name, "its manifest is of a schema that is not known");
  const isIndex = said === MEDIA_TYPES.ociIndex || said === MEDIA_TYPES.dockerList;
  const isManifest = said === MEDIA_TYPES.ociManifest || said === MEDIA_TYPES.dockerManifest;
  if (isIndex ? Array.isArray(document.layers) : isManifest && Array.isArray(document.manifests))
    throw invalid(name, "its manifest is both an image and a list of images"); // CVE-2021-41190
  if (isIndex || (!isManifest && Array.isArray(document.manifests))) return index(document, name);
  return manifest(document, name);
}

function manifest(document: Record<string, unknown>, name: string): ImageManifest {
  const config = descriptor(document.config, name, "config");
  const { layers } = document;
  if (!Array.isArray(layers) || layers.length > MAX_LAYERS)
    throw invalid(name, `it has no list of at most ${MAX_LAYERS} layers`);
  if (document.artifactType !== undefined || !CONFIG_TYPES.includes(config.mediaType))
    throw notAnImage(
      name,
      typeof document.artifactType === "string" ? document.artifactType : config.mediaType,
    );
  if (config.size > MAX_DOCUMENT_BYTES) throw invalid(name, "its config is too large");
  return {
    kind: "manifest",
    config,
    layers: layers.map((layer) => {
      const found = descriptor(layer, name, "layer");
      if (!LAYER_TYPES.test(found.mediaType)) throw notAnImage(name, found.mediaType);
      return found;
    }),
  };
}

function index(document: Record<string, unknown>, name: string): ImageIndex {
  const { manifests } = document;
  if (!Array.isArray(manifests) || manifests.length > MAX_MANIFESTS)
    throw invalid(name, `it has no list of at most ${MAX_MANIFESTS} manifests`);
  return {
    kind: "index",
    manifests: manifests.map((entry) => {
      const { platform, annotations } = entry as { platform?: unknown; annotations?: unknown };
      const tag = (annotations as Record<string, unknown> | undefined)?.["org.opencontainers.image.ref.name"];
      return {
        ...descriptor(entry, name, "manifest"),
        platform: platformOf(platform),
        tag: typeof tag === "string" ? tag : undefined,
      };
    }),
  };
}

function platformOf(value: unknown): Platform | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { os, architecture, variant } = value as Record<string, unknown>;
  if (typeof os !== "string" || typeof architecture !== "string") return undefined;
  return { os, architecture, variant: typeof variant === "string" ? variant : undefined };
}

function descriptor(value: unknown, name: string, what: string): Descriptor {
  const { mediaType, digest, size } = (value ?? {}) as Record<string, unknown>;
  if (typeof digest !== "string" || !/^sha256:[0-9a-f]{64}$/.test(digest))
    throw invalid(name, `a ${what} of it has no sha256 digest`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0 || size > MAX_BLOB_BYTES)
    throw invalid(name, `a ${what} of it has no size that can be`);
  if (typeof mediaType !== "string" || mediaType.length > 255)
    throw invalid(name, `a ${what} of it has no media type`);
  return { mediaType, digest, size };
}

/** A JSON object of a document from outside. @throws SmolVMError IMAGE_INVALID */
export function jsonObject(bytes: Uint8Array, name: string, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw invalid(name, `its ${what} is no JSON object`);
}

function notAnImage(name: string, type: string): SmolVMError {
  return new SmolVMError("NOT_SUPPORTED", `'${name}' is no image of a file system (${type.slice(0, 100)})`, {
    hint: "A registry holds charts, signatures and other things too. Name one that `docker run` could start.",
  });
}

/** The error for an image that is not what it should be. */
export function invalid(name: string, what: string): SmolVMError {
  return new SmolVMError("IMAGE_INVALID", `the image '${name}' cannot be used: ${what}`, {
    hint: "It was refused, and nothing of it was kept. Ask whoever has made it to make it again.",
    details: { image: name },
  });
}
