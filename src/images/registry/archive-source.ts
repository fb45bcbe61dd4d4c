import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { posix } from "node:path";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { rm } from "../../util/files-go.ts";
import { TarReader } from "../../util/tar/reader.ts";
import {
  type Descriptor,
  invalid,
  layoutBlob,
  MAX_DOCUMENT_BYTES,
  MEDIA_TYPES,
  parseManifestDocument,
} from "../oci/manifest.ts";
import type { ArchiveReference } from "../oci/reference.ts";
import { plainArchive } from "./plain-archive.ts";
import type { ImageSource, SourceDocument } from "./source.ts";

const MANIFEST_FILE = "manifest.json";
const INDEX_FILE = "index.json";
const MAX_TAGS = 100;
const MAX_MEMBERS = 10_000;
const CHUNK_BYTES = 1024 * 1024;

/** A file in the archive. */
interface Member {
  readonly at: number;
  readonly size: number;
}

/**
 * What `docker save` and `podman save` write: a tar with a list of images, their configs and layers. It has no manifest of the registries'
 * kind, unless there is an OCI layout in it, too: one is made, the same for the same content.
 */
export class ArchiveSource implements ImageSource {
  readonly name: string;
  /** as the user named it */
  readonly #file: string;
  readonly #directory: string;
  /** what is read of it: itself, or what was packed in it */
  #plain: { readonly path: string; readonly isTemporary: boolean } | undefined;
  /** what the image was called where it was saved; known once `top` was asked */
  tags: readonly string[] = [];
  #members: Promise<ReadonlyMap<string, Member>> | undefined;
  /** of the blobs of the manifest that was made */
  readonly #blobs: Map<string, Member> = new Map();

  /** @param directory where one that is packed is unpacked to, until `close` */
  constructor({ name, file }: ArchiveReference, directory: string) {
    this.name = name;
    this.#file = file;
    this.#directory = directory;
  }

  async close(): Promise<void> {
    if (this.#plain?.isTemporary === true) await rm(this.#plain.path, { force: true });
  }

  async top(deadline: Deadline): Promise<SourceDocument> {
    this.#members ??= this.#look(deadline);
    const members = await this.#members;
    const member = (path: string): Member => {
      const found = members.get(posix.normalize(path));
      if (found === undefined)
        throw invalid(this.name, `it lists '${path.slice(0, 200)}', which it does not hold`);
      return found;
    };
    const list = members.get(MANIFEST_FILE);
    const index = members.get(INDEX_FILE);
    if (list !== undefined) this.tags = this.#listed(await this.#small(list)).tags;
    if (index !== undefined) return this.#indexed(await this.#small(index));
    if (list === undefined)
      throw new SmolVMError(
        "IMAGE_INVALID",
        `'${this.#file}' is no archive of docker save: it has no ${MANIFEST_FILE}`,
        {
          hint: "Write one: docker save IMAGE > FILE, podman save IMAGE > FILE, or smolvm image save IMAGE FILE",
        },
      );
    const { config, layers } = this.#listed(await this.#small(list));
    const descriptor = async (path: string, mediaType: string): Promise<Descriptor> => {
      const found = member(path);
      const digest = await this.#digest(found, deadline);
      this.#blobs.set(digest, found);
      return { mediaType, digest, size: found.size };
    };
    const manifest = {
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: await descriptor(config, MEDIA_TYPES.ociConfig),
      layers: [] as Descriptor[],
    };
    for (const layer of layers) manifest.layers.push(await descriptor(layer, MEDIA_TYPES.ociLayer));
    return { bytes: Buffer.from(JSON.stringify(manifest)), mediaType: MEDIA_TYPES.ociManifest };
  }

  /** With the OCI layout in it, as Docker writes it since version 25, it has the registries' manifest as well. */
  async #indexed(bytes: Uint8Array): Promise<SourceDocument> {
    const index = parseManifestDocument(bytes, MEDIA_TYPES.ociIndex, this.name);
    if (index.kind !== "index") throw invalid(this.name, `its ${INDEX_FILE} is no index`);
    const [only, ...others] = index.manifests;
    if (only !== undefined && others.length === 0) return this.document(only);
    return { bytes, mediaType: MEDIA_TYPES.ociIndex };
  }

  async document({ digest, mediaType }: Descriptor): Promise<SourceDocument> {
    return { bytes: await this.#small(await this.#blob(digest)), mediaType };
  }

  async blob(
    { digest }: Descriptor,
    from: number,
  ): Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }> {
    return { from, chunks: this.#read(await this.#blob(digest), from) };
  }

  async #blob(digest: string): Promise<Member> {
    const found = this.#blobs.get(digest) ?? (await this.#members)?.get(layoutBlob(digest));
    if (found === undefined) throw invalid(this.name, `it does not hold ${digest}`);
    return found;
  }

  /** What `manifest.json` says: of one image. */
  #listed(bytes: Uint8Array): { config: string; layers: string[]; tags: string[] } {
    let list: unknown;
    try {
      list = JSON.parse(Buffer.from(bytes).toString("utf8"));
    } catch {
      // told below
    }
    if (!Array.isArray(list) || list.length === 0)
      throw invalid(this.name, `its ${MANIFEST_FILE} lists no image`);
    if (list.length > 1)
      throw new SmolVMError("CONFIG_INVALID", `'${this.#file}' holds ${list.length} images`, {
        hint: "Save one alone: docker save IMAGE > FILE",
      });
    const { Config: config, Layers: layers, RepoTags: tags } = (list[0] ?? {}) as Record<string, unknown>;
    if (
      typeof config !== "string" ||
      !Array.isArray(layers) ||
      !layers.every((layer) => typeof layer === "string")
    )
      throw invalid(this.name, `its ${MANIFEST_FILE} is of a form that is not known`);
    const isText = (tag: unknown): tag is string => typeof tag === "string";
    return { config, layers, tags: Array.isArray(tags) ? tags.filter(isText).slice(0, MAX_TAGS) : [] };
  }

  /** Where everything is. Links are other names of what is there (docker save before version 25 has them). */
  async #look(deadline: Deadline): Promise<ReadonlyMap<string, Member>> {
    const members = new Map<string, Member>();
    const links: [string, string][] = [];
    const tar = new TarReader();
    try {
      this.#plain ??= await plainArchive(this.#file, this.#directory, deadline);
      for await (const chunk of createReadStream(this.#plain.path, { highWaterMark: CHUNK_BYTES })) {
        deadline.check();
        for (const step of tar.push(chunk as Buffer)) {
          if (step.step !== "entry") continue;
          const { kind, path, target, size, contentAt } = step.entry;
          const name = posix.normalize(Buffer.from(path).toString("utf8"));
          const to = Buffer.from(target).toString("utf8");
          if (members.size + links.length >= MAX_MEMBERS)
            throw invalid(this.name, `it holds more than ${MAX_MEMBERS} files`);
          if (kind === "file") members.set(name, { at: contentAt, size });
          else if (kind === "symlink") links.push([name, posix.join(posix.dirname(name), to)]);
          else if (kind === "link") links.push([name, posix.normalize(to)]);
        }
        if (tar.over) break;
      }
      tar.finish();
    } catch (error) {
      throw this.#unreadable(error);
    }
    for (const [name, to] of links) {
      const found = members.get(to);
      if (found !== undefined) members.set(name, found);
    }
    return members;
  }

  #unreadable(error: unknown): unknown {
    if (isSmolVMError(error, "FILE_FAILED"))
      return new SmolVMError("IMAGE_INVALID", `'${this.#file}': ${error.message}`, {
        hint: error.hint,
        cause: error,
      });
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT")
      return new SmolVMError("FILE_NOT_FOUND", `there is no file '${this.#file}'`, { cause: error });
    if (code === "EISDIR")
      return new SmolVMError("FILE_TYPE", `'${this.#file}' is a directory`, {
        hint: `Name the file that docker save wrote, or write oci:${this.#file} for a directory in the OCI layout.`,
        cause: error,
      });
    if (code === "EACCES")
      return new SmolVMError("FILE_PERMISSION", `'${this.#file}' may not be read`, { cause: error });
    return error;
  }

  async #small(member: Member): Promise<Uint8Array> {
    if (member.size > MAX_DOCUMENT_BYTES) throw invalid(this.name, "a document in it is too large");
    const parts: Uint8Array[] = [];
    for await (const part of this.#read(member, 0)) parts.push(part);
    return Buffer.concat(parts);
  }

  async #digest(member: Member, deadline: Deadline): Promise<string> {
    const hash = createHash("sha256");
    for await (const part of this.#read(member, 0)) {
      deadline.check();
      hash.update(part);
    }
    return `sha256:${hash.digest("hex")}`;
  }

  #read({ at, size }: Member, from: number): AsyncIterable<Uint8Array> {
    if (from >= size) return (async function* () {})();
    return createReadStream(this.#plain!.path, {
      start: at + from,
      end: at + size - 1,
      highWaterMark: CHUNK_BYTES,
    });
  }
}
