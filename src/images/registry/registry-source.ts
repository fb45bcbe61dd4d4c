import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { ACCEPTED, type Descriptor, MAX_DOCUMENT_BYTES } from "../oci/manifest.ts";
import type { RegistryReference } from "../oci/reference.ts";
import { ConnectionFailed, discard, type HttpResponse, readBody } from "./http.ts";
import { RegistryClient, type RegistryOptions } from "./registry-client.ts";
import { ATTEMPTS, waitMs } from "./retry.ts";
import type { ImageSource, SourceDocument } from "./source.ts";

/** An image in a registry. */
export class RegistrySource implements ImageSource {
  readonly name: string;
  readonly #reference: RegistryReference;
  readonly #client: RegistryClient;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    this.name = reference.name;
    this.#reference = reference;
    this.#client = new RegistryClient(reference, options);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async top(deadline: Deadline): Promise<SourceDocument> {
    const { tag, digest } = this.#reference;
    return this.#manifest(digest ?? tag!, deadline);
  }

  document({ digest }: Descriptor, deadline: Deadline): Promise<SourceDocument> {
    return this.#manifest(digest, deadline);
  }

  async blob(
    { digest }: Descriptor,
    from: number,
    deadline: Deadline,
  ): Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }> {
    const range: Record<string, string> = from > 0 ? { range: `bytes=${from}-` } : {};
    let response = await this.#client.send(`blobs/${digest}`, { headers: range }, deadline);
    if (response.status === 416) {
      discard(response);
      response = await this.#client.send(`blobs/${digest}`, {}, deadline);
    }
    if (response.status !== 200 && response.status !== 206)
      throw await this.#client.failure(response, "a layer of it");
    const begins = /^bytes (\d+)-/.exec(response.headers["content-range"] ?? "")?.[1];
    return {
      from: response.status === 206 ? Number(begins ?? from) : 0,
      chunks: chunksOf(response),
    };
  }

  async #manifest(reference: string, deadline: Deadline): Promise<SourceDocument> {
    for (let attempt = 0; ; attempt++) {
      const response = await this.#client.send(
        `manifests/${reference}`,
        { headers: { accept: ACCEPTED.join(", ") } },
        deadline,
      );
      if (response.status !== 200) throw await this.#client.failure(response, "its manifest");
      try {
        const bytes = await readBody(response, MAX_DOCUMENT_BYTES);
        if (bytes === undefined)
          throw new SmolVMError(
            "IMAGE_INVALID",
            `the manifest of '${this.name}' is larger than ${MAX_DOCUMENT_BYTES / 2 ** 20} MiB`,
          );
        return { bytes, mediaType: response.headers["content-type"] ?? "" };
      } catch (error) {
        if (!(error instanceof ConnectionFailed) || attempt >= ATTEMPTS - 1)
          throw this.#client.unreachable(error);
        await deadline.sleep(waitMs(attempt, undefined, Date.now()));
      }
    }
  }
}

async function* chunksOf({ body }: HttpResponse): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw new ConnectionFailed((error as Error).message, { cause: error });
  }
}
