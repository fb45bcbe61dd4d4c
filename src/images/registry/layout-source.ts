import { createReadStream } from "node:fs";
import { open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import {
  type Descriptor,
  invalid,
  layoutBlob,
  MAX_DOCUMENT_BYTES,
  MEDIA_TYPES,
  parseManifestDocument,
} from "../oci/manifest.ts";
import type { LayoutReference } from "../oci/reference.ts";
import type { ImageSource, SourceDocument } from "./source.ts";

const INDEX_FILE = "index.json";

/** A directory in the OCI image layout (image-spec, image-layout.md), as skopeo, umoci and buildah write it. */
export class LayoutSource implements ImageSource {
  readonly name: string;
  readonly #directory: string;
  readonly #tag: string | undefined;

  constructor({ name, directory, tag }: LayoutReference) {
    this.name = name;
    this.#directory = directory;
    this.#tag = tag;
  }

  async close(): Promise<void> {}

  /** The image that has the tag; without one the only one that is there. */
  async top(): Promise<SourceDocument> {
    const bytes = await this.#small(
      join(this.#directory, INDEX_FILE),
      `'${this.#directory}' is no OCI image layout`,
    );
    const index = parseManifestDocument(bytes, MEDIA_TYPES.ociIndex, this.name);
    if (index.kind !== "index") throw invalid(this.name, `its ${INDEX_FILE} is no index`);
    const tags = [...new Set(index.manifests.flatMap(({ tag }) => (tag === undefined ? [] : [tag])))];
    const found = index.manifests.filter(({ tag }) => this.#tag === undefined || tag === this.#tag);
    if (found.length === 1) return this.document(found[0]!);
    // One image for several machines may be listed here itself.
    if (this.#tag === undefined && tags.length === 0 && found.length > 1)
      return { bytes, mediaType: MEDIA_TYPES.ociIndex };
    throw new SmolVMError(
      "IMAGE_NOT_FOUND",
      this.#tag === undefined
        ? `the layout '${this.#directory}' holds ${found.length === 0 ? "no image" : "several images"}`
        : `the layout '${this.#directory}' holds ${found.length === 0 ? "no" : "more than one"} image '${this.#tag}'`,
      {
        hint:
          tags.length === 0
            ? "Make it again, with one image."
            : `It has: ${tags.slice(0, 20).join(", ")}. Write oci:${this.#directory}:${tags[0]}`,
        details: { directory: this.#directory, tags: tags.slice(0, 100) },
      },
    );
  }

  async document({ digest, mediaType }: Descriptor): Promise<SourceDocument> {
    return {
      bytes: await this.#small(this.#blob(digest), `the layout '${this.#directory}' lacks ${digest}`),
      mediaType,
    };
  }

  async blob(
    { digest }: Descriptor,
    from: number,
  ): Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }> {
    const file = await open(this.#blob(digest), "r").catch((error: unknown) => {
      throw missing(`the layout '${this.#directory}' lacks ${digest}`, this.#directory, error);
    });
    return { from, chunks: createReadStream("", { fd: file, start: from, highWaterMark: 1024 * 1024 }) };
  }

  #blob(digest: string): string {
    return join(this.#directory, layoutBlob(digest));
  }

  async #small(path: string, otherwise: string): Promise<Uint8Array> {
    try {
      const { size } = await stat(path);
      if (size > MAX_DOCUMENT_BYTES) throw invalid(this.name, `'${path}' is larger than a manifest can be`);
      return await readFile(path);
    } catch (error) {
      if (error instanceof SmolVMError) throw error;
      throw missing(otherwise, this.#directory, error);
    }
  }
}

function missing(what: string, directory: string, cause: unknown): SmolVMError {
  return new SmolVMError("FILE_NOT_FOUND", `${what}: ${(cause as Error).message}`, {
    hint: `Make one: skopeo copy docker-archive:FILE oci:${directory}:latest`,
    details: { directory },
    cause,
  });
}
