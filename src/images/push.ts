import { open, readFile } from "node:fs/promises";
import type { OnProgress } from "../config/progress.ts";
import type { Arch } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import { readEnvironment } from "../host/environment.ts";
import { failpoint } from "../host/failpoint.ts";
import { concurrentlyWithin } from "../util/concurrently.ts";
import type { Deadline } from "../util/deadline.ts";
import type { Descriptor } from "./oci/manifest.ts";
import { parseReference, type RegistryReference } from "./oci/reference.ts";
import { ConnectionFailed, discard, type HttpResponse } from "./registry/http.ts";
import { RegistryClient, type RegistryOptions } from "./registry/registry-client.ts";
import { ATTEMPTS, waitMs } from "./registry/retry.ts";
import { type SavedParts, savedParts } from "./save.ts";
import type { ImageDirs } from "./store/layout.ts";
import { absoluteReference, isPlainName } from "./store/reference.ts";

/** Blobs that are sent at a time. */
const PARALLEL = 3;
/** What is sent in one request, and again if that is lost. */
const CHUNK_BYTES = 8 * 1024 * 1024;

export interface PushOptions extends Partial<RegistryOptions> {
  readonly arch: Arch;
  /** where to, with a tag; default what the image is called */
  readonly to?: string | undefined;
  /** what it is, of an image that smolvm has made itself (vm/commit/own-parts.ts); default: what was pulled */
  readonly own?: SavedParts | undefined;
  readonly deadline: Deadline;
  /** stage: push (with a fraction) */
  readonly onProgress?: OnProgress | undefined;
}

export interface PushResult {
  /** what it is called there */
  readonly name: string;
  /** of its manifest, "sha256:..." */
  readonly manifest: string;
  /** bytes that had to be sent: what the registry had is not */
  readonly sentBytes: number;
}

/**
 * Sends a pulled image to a registry: byte for byte, so that it has the same digest there. What the registry has is not sent; what it has in the repository that
 * the image is from is taken over from there. A cut is gone on from.
 * @throws SmolVMError IMAGE_NOT_FOUND, NOT_SUPPORTED, IMAGE_INVALID (see savedParts), CONFIG_INVALID, REGISTRY_AUTH, REGISTRY_LIMITED, REGISTRY_FAILED,
 *   TIMEOUT, ABORTED
 */
export async function pushImage(dirs: ImageDirs, text: string, options: PushOptions): Promise<PushResult> {
  const { arch, deadline, onProgress } = options;
  const parts = options.own ?? (await savedParts(dirs, text, arch));
  const target = registryTarget(options.to ?? parts.name);
  const client = new RegistryClient(target, { settings: readEnvironment(process.env), ...options });
  const total = parts.blobs.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  const message = `pushing ${target.name}`;
  let done = 0;
  let sentBytes = 0;
  onProgress?.({ stage: "push", message, fraction: 0 });
  try {
    await concurrentlyWithin(deadline, message, parts.blobs.length, PARALLEL, async (index, own) => {
      const { descriptor, path } = parts.blobs[index]!;
      const sent = await sendBlob(client, descriptor, path, sharedFrom(parts, target), own, (count) => {
        done += count;
        onProgress?.({ stage: "push", message, fraction: Math.min(0.99, done / Math.max(1, total)) });
      });
      sentBytes += sent;
    });
    failpoint("push manifest");
    const body = await readFile(parts.manifestPath);
    const answer = await client.send(
      `manifests/${target.tag}`,
      { method: "PUT", headers: { "content-type": parts.manifest.mediaType }, body },
      deadline,
    );
    if (answer.status !== 201) throw await client.failure(answer, "the manifest");
    discard(answer);
  } finally {
    client.close();
  }
  return { name: target.name, manifest: parts.manifest.digest, sentBytes };
}

function registryTarget(text: string): RegistryReference & { tag: string } {
  const reference = isPlainName(text) ? undefined : absoluteReference(text);
  if (reference?.kind === "registry" && reference.tag !== undefined && reference.digest === undefined)
    return { ...reference, tag: reference.tag };
  throw new SmolVMError("CONFIG_INVALID", `'${text}' is nowhere to push to`, {
    hint: `Say where, with a tag: smolvm image push ${text} ghcr.io/me/name:1`,
    details: { image: text },
  });
}

/** The repository of the same registry that the image is from, which may have its layers. */
function sharedFrom({ origin }: SavedParts, target: RegistryReference): string | undefined {
  if (origin.made !== undefined || /^(?:oci|docker-archive):/.test(origin.reference)) return undefined;
  const from = parseReference(origin.reference);
  const isThere =
    from.kind === "registry" && from.registry === target.registry && from.repository !== target.repository;
  return isThere ? from.repository : undefined;
}

/** @returns bytes that were sent */
async function sendBlob(
  client: RegistryClient,
  { digest, size }: Descriptor,
  path: string,
  from: string | undefined,
  deadline: Deadline,
  onBytes: (count: number) => void,
): Promise<number> {
  const there = await client.send(`blobs/${digest}`, { method: "HEAD" }, deadline);
  discard(there);
  if (there.status === 200) {
    onBytes(size);
    return 0;
  }
  if (there.status !== 404) throw await client.failure(there, "one of its layers");
  const mount =
    from === undefined ? "" : `?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
  let location = await beginUpload(client, mount, deadline);
  if (location === undefined) {
    onBytes(size);
    return 0;
  }
  const file = await open(path, "r");
  try {
    let at = 0;
    let failures = 0;
    let restarts = 0;
    while (at < size) {
      failpoint("push chunk");
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, size - at));
      await file.read(chunk, 0, chunk.length, at);
      let answer: HttpResponse;
      try {
        const headers = {
          "content-type": "application/octet-stream",
          "content-range": `${at}-${at + chunk.length - 1}`,
        };
        answer = await client.send(location, { method: "PATCH", headers, body: chunk, once: true }, deadline);
        discard(answer);
        if (answer.status !== 202 && answer.status !== 416)
          throw await client.failure(answer, "a piece of a layer");
        failures = answer.status === 202 ? 0 : failures + 1;
      } catch (error) {
        if (deadline.expired) throw deadline.error();
        if (!(error instanceof ConnectionFailed)) throw error;
        failures++;
      }
      if (failures === 0) {
        location = await locationOf(client, answer!, deadline);
        at += chunk.length;
        onBytes(chunk.length);
        continue;
      }
      if (failures >= ATTEMPTS) throw cutOff(client);
      await deadline.sleep(waitMs(failures - 1, undefined, Date.now()));
      // What of it has arrived the registry knows.
      const state = await client.send(location, {}, deadline);
      discard(state);
      if (state.status === 404 && ++restarts < ATTEMPTS) {
        // It has thrown away what it had.
        location = await beginUpload(client, "", deadline);
        if (location === undefined) throw cutOff(client);
        onBytes(-at);
        at = 0;
        continue;
      }
      if (state.status !== 204) throw await client.failure(state, "an upload that was cut off");
      const has = Number(/^(?:bytes=)?0-(\d+)$/.exec(state.headers.range ?? "")?.[1] ?? -1) + 1;
      if (has > size) throw cutOff(client);
      onBytes(has - at);
      at = has;
      location = await locationOf(client, state, deadline, location);
    }
  } finally {
    await file.close();
  }
  failpoint("push layer");
  location.searchParams.set("digest", digest);
  const ended = await client.send(location, { method: "PUT", headers: { "content-length": "0" } }, deadline);
  if (ended.status !== 201) throw await client.failure(ended, "a layer");
  discard(ended);
  return size;
}

/** @returns where to send it; undefined: the registry has taken it over from the repository that was named */
async function beginUpload(
  client: RegistryClient,
  mount: string,
  deadline: Deadline,
): Promise<URL | undefined> {
  const begun = await client.send(
    `blobs/uploads/${mount}`,
    { method: "POST", headers: { "content-length": "0" } },
    deadline,
  );
  discard(begun);
  if (begun.status === 201) return undefined;
  if (begun.status !== 202) throw await client.failure(begun, "an upload");
  return locationOf(client, begun, deadline);
}

/** Where the upload goes on: at the registry, or where it says. */
async function locationOf(
  client: RegistryClient,
  { headers }: HttpResponse,
  deadline: Deadline,
  otherwise?: URL,
): Promise<URL> {
  const base = await client.base(deadline);
  const { location } = headers;
  if (location === undefined && otherwise !== undefined) return otherwise;
  if (location !== undefined && URL.canParse(location, base.href)) {
    const url = new URL(location, base);
    // A layer of one's own goes to nobody in clear who did not have it so anyway.
    if (url.protocol === "https:" || url.protocol === base.protocol) return url;
  }
  throw new SmolVMError("REGISTRY_FAILED", `${client.registry} says nowhere to send '${client.name}' to`);
}

function cutOff({ name, registry }: RegistryClient): SmolVMError {
  return new SmolVMError("REGISTRY_FAILED", `${registry} cut '${name}' off again and again`, {
    hint: "Try again: what it has taken whole is not sent again.",
    details: { image: name, registry },
  });
}
