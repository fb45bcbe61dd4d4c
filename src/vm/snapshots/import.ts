import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { createZstdDecompress } from "node:zlib";
import { parseConfig } from "../../config/schema.ts";
import type { LeastIsolation, VmSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { failpoint } from "../../host/failpoint.ts";
import { stampOf } from "../../snapshots/manifest.ts";
import {
  invalid,
  PORTABLE_MANIFEST_MAX_BYTES,
  type PortableFile,
  type PortableManifest,
  parsePortable,
  unmet,
} from "../../snapshots/portable.ts";
import { type SavedFiles, settleFiles } from "../../snapshots/saved.ts";
import { SNAPSHOT_FORMAT, type SnapshotManifest } from "../../snapshots/snapshot-manifest.ts";
import { requireFreeName, requireSnapshotName, type Snapshot } from "../../snapshots/snapshots.ts";
import type { Deadline } from "../../util/deadline.ts";
import { isNoSpace } from "../../util/no-space.ts";
import { TarReader } from "../../util/tar/reader.ts";
import { filesOf, type Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";
import { resolveVm } from "../lifecycle/resolve.ts";
import { machineFacts } from "../templates/facts.ts";
import { needsHere } from "./portable-host.ts";
import { withWorkDir } from "./work.ts";

/** What becomes of a file. */
export interface ImportChoice {
  /** default: the name that it was exported with */
  readonly name?: string | undefined;
  /** takes its memory as well: whoever made it decides what this machine's VMM reads, and what the sandbox runs */
  readonly trust: boolean;
}

type Part = "disk" | "memory" | "state";

/**
 * Takes in a snapshot that was exported. Nothing of it is a snapshot here before all of it has been verified.
 * @throws SmolVMError SNAPSHOT_INVALID, SNAPSHOT_EXISTS, SNAPSHOT_INCOMPATIBLE (details.reasons), IMAGE_NOT_FOUND, FILE_NOT_FOUND, CONFIG_INVALID, NO_SPACE, TIMEOUT, ABORTED
 */
export async function importSnapshot(
  home: Home,
  from: string,
  { name: wanted, trust }: ImportChoice,
  deadline: Deadline,
): Promise<Snapshot> {
  if (wanted !== undefined) requireSnapshotName(wanted);
  return await withWorkDir(home, async (work, keep) => {
    const taken = new Taking(home, work, { name: wanted, trust }, deadline);
    try {
      await pipeline(
        createReadStream(from),
        createZstdDecompress(),
        (content: AsyncIterable<Buffer>) => taken.all(content),
        {
          signal: deadline.signal,
        },
      );
    } catch (error) {
      deadline.check();
      throw importError(error, from);
    } finally {
      await taken.close();
    }
    return keep(taken.manifest());
  });
}

/** One pass through such a file. */
class Taking {
  readonly #home: Home;
  readonly #work: SavedFiles;
  readonly #choice: ImportChoice;
  readonly #deadline: Deadline;
  readonly #reader = new TarReader();
  #manifest: PortableManifest | undefined;
  #spec: VmSpec | undefined;
  /** entries that must still come, in this order */
  #expected: Part[] = [];
  #text: Buffer[] | undefined;
  #file: FileTaking | undefined;

  constructor(home: Home, work: SavedFiles, choice: ImportChoice, deadline: Deadline) {
    this.#home = home;
    this.#work = work;
    this.#choice = choice;
    this.#deadline = deadline;
  }

  async all(content: AsyncIterable<Buffer>): Promise<void> {
    for await (const chunk of content) {
      this.#deadline.check();
      for (const step of this.#reader.push(chunk)) {
        if (step.step === "entry")
          await this.#begin(Buffer.from(step.entry.path).toString("latin1"), step.entry);
        else if (step.step === "data") await this.#take(step.data);
        else await this.#end();
      }
    }
    this.#reader.finish();
    if (this.#manifest === undefined || this.#expected.length > 0)
      throw invalid("it ends before all of it was there");
  }

  async #begin(name: string, { kind, size }: { kind: string; size: number }): Promise<void> {
    if (kind !== "file") throw invalid(`it has an entry '${shown(name)}' that is no file`);
    if (this.#manifest === undefined) {
      if (name !== "manifest.json") throw invalid("its first entry is not its manifest");
      if (size > PORTABLE_MANIFEST_MAX_BYTES) throw invalid("its manifest is too long");
      this.#text = [];
      return;
    }
    const part = this.#expected.shift();
    if (name !== part) throw invalid(`it has '${shown(name)}' where ${part ?? "its end"} should be`);
    const file = this.#manifest[part]!;
    if (size !== file.parts.reduce((sum, [, length]) => sum + length, 0))
      throw invalid(`its ${part} is not as long as its manifest says`);
    const isWanted = part === "disk" || this.#choice.trust;
    failpoint("while importing");
    this.#file = new FileTaking(part, file, isWanted ? await open(this.#work[part], "wx", 0o600) : undefined);
    if (size === 0) await this.#end();
  }

  async #take(data: Buffer): Promise<void> {
    if (this.#text === undefined) await this.#file?.take(data);
    else this.#text.push(Buffer.from(data));
  }

  async #end(): Promise<void> {
    if (this.#text === undefined) {
      await this.#file?.finish();
      this.#file = undefined;
      return;
    }
    const manifest = parsePortable(Buffer.concat(this.#text).toString("utf8"));
    this.#text = undefined;
    const name = this.#choice.name ?? manifest.name;
    requireSnapshotName(name);
    requireFreeName(this.#home.paths, name);
    this.#spec = await this.#fitting(manifest);
    this.#manifest = { ...manifest, name };
    this.#expected = manifest.kind === "full" ? ["disk", "memory", "state"] : ["disk"];
  }

  /** The machine that it is here. @throws SmolVMError SNAPSHOT_INCOMPATIBLE */
  async #fitting({ name, config, imageDigest, disk, memory, needs }: PortableManifest): Promise<VmSpec> {
    const checked = parseConfig(config);
    const vm = { name: "import", files: filesOf(this.#home, newId()) };
    const spec = await resolveVm(this.#home, { template: "off", ...checked }, vm, this.#deadline);
    const MIB = 2 ** 20;
    if (
      disk.size !== spec.diskSizeMib * MIB ||
      (memory !== undefined && memory.size !== spec.machine.memSizeMib * MIB)
    )
      throw invalid("its disk or memory is not as large as its options say");
    const reasons = [
      ...(spec.imageDigest === imageDigest ? [] : [`the image '${spec.image}' is another here`]),
      ...(needs !== undefined && this.#choice.trust ? unmet(needs, await needsHere(this.#home, spec)) : []),
    ];
    if (reasons.length === 0)
      // Somebody else's memory: what is around its VMM must not be nothing.
      return needs !== undefined && this.#choice.trust ? { ...spec, isolation: leastForTrusted(spec) } : spec;
    throw new SmolVMError(
      "SNAPSHOT_INCOMPATIBLE",
      `snapshot '${name}' cannot go on here: ${reasons.join("; ")}`,
      {
        hint:
          spec.imageDigest === imageDigest
            ? "Take its disk alone: leave --trust out."
            : `Take the image in first, from where the snapshot was made: smolvm image export ${spec.image} FILE`,
        details: { reasons },
      },
    );
  }

  /** What is kept beside it. */
  manifest(): SnapshotManifest {
    const { name, kind, createdAt, source, needs } = this.#manifest!;
    const spec = this.#spec!;
    const full = kind === "full" && needs !== undefined && this.#choice.trust;
    const { disk, memory, state } = this.#work;
    settleFiles(full ? [disk, memory, state] : [disk]);
    const about = { format: SNAPSHOT_FORMAT, name, createdAt, source, spec, disk: stampOf(disk) } as const;
    if (!full) return { ...about, kind: "disk" };
    return {
      ...about,
      kind: "full",
      memory: {
        file: stampOf(memory),
        stateSha256: this.#stateHash!,
        facts: machineFacts(this.#home.paths, spec),
        stoppedMs: 0,
        ...(needs.withoutSlirp ? { withoutSlirp: true } : {}),
      },
    };
  }

  get #stateHash(): string | undefined {
    return this.#manifest?.state?.sha256;
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

function leastForTrusted({ isolation }: VmSpec): LeastIsolation {
  return isolation === "jail" ? "jail" : "user";
}

/** One of its files, as it comes. */
class FileTaking {
  readonly #what: string;
  readonly #file: PortableFile;
  /** undefined: it is read, and not kept */
  readonly #to: FileHandle | undefined;
  readonly #hash: Hash = createHash("sha256");
  #part = 0;
  /** bytes of the part that were taken */
  #done = 0;

  constructor(what: string, file: PortableFile, to: FileHandle | undefined) {
    this.#what = what;
    this.#file = file;
    this.#to = to;
  }

  async take(data: Buffer): Promise<void> {
    this.#hash.update(data);
    for (let rest = data; rest.length > 0; ) {
      const [offset, length] = this.#file.parts[this.#part]!;
      const piece = rest.subarray(0, length - this.#done);
      if (this.#to !== undefined) await writeAll(this.#to, piece, offset + this.#done);
      rest = rest.subarray(piece.length);
      this.#done += piece.length;
      if (this.#done < length) continue;
      this.#part++;
      this.#done = 0;
    }
  }

  async finish(): Promise<void> {
    await this.#to?.truncate(this.#file.size);
    await this.close();
    if (this.#hash.digest("hex") !== this.#file.sha256) throw invalid(`its ${this.#what} was damaged`);
  }

  async close(): Promise<void> {
    await this.#to?.close();
  }
}

async function writeAll(file: FileHandle, data: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesWritten } = await file.write(data, done, data.length - done, offset + done);
    done += bytesWritten;
  }
}

/** Names that are not ours are shown within bounds. */
function shown(name: string): string {
  return name.slice(0, 100).replaceAll(/[^ -~]/g, "?");
}

function importError(error: unknown, from: string): unknown {
  if (isNoSpace(error)) return error; // withWorkDir says where
  if (error instanceof SmolVMError) return error.code === "FILE_FAILED" ? invalid(error.message) : error;
  const { code: errno, message } = error as NodeJS.ErrnoException;
  const details = { path: from, errno };
  if (errno === "ENOENT")
    return new SmolVMError("FILE_NOT_FOUND", `there is no file '${from}'`, { details, cause: error });
  if (errno === "EISDIR")
    return new SmolVMError("FILE_TYPE", `'${from}' is a directory`, {
      hint: "Name the file that was written by: smolvm snapshot export NAME FILE",
      details,
      cause: error,
    });
  if (
    errno?.startsWith("ZSTD") ||
    errno === "ERR_STREAM_PREMATURE_CLOSE" ||
    /unexpected end of file/.test(message)
  )
    return invalid(`it is cut, or not compressed with zstd (${message})`);
  return new SmolVMError("HOST_FAILED", `'${from}' cannot be taken in: ${message}`, {
    details,
    cause: error,
  });
}
