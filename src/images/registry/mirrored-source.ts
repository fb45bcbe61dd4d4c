import { isSmolVMError, SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { RegistryReference } from "../oci/reference.ts";
import type { RegistryOptions } from "./registry-client.ts";
import { RegistrySource } from "./registry-source.ts";
import type { ImageSource, SourceDocument } from "./source.ts";

/** There is another place to ask. */
const MIRROR_ATTEMPTS = 2;

/** One of the places of an image, for messages. */
interface Place {
  readonly host: string;
  readonly source: ImageSource;
}

/**
 * An image of a registry that has mirrors: each is asked in turn, the registry itself last. Which manifest a tag stands for the first one says that has it; all
 * below it is known by its digest, and may come from any of them.
 */
export class MirroredSource implements ImageSource {
  readonly name: string;
  readonly #places: readonly Place[];
  readonly #onMissed: ((message: string) => void) | undefined;
  /** the place that is asked first */
  #first = 0;
  /** which place gave what, by digest */
  readonly #gave = new Map<string | undefined, number>();
  /** why mirrors were passed by */
  readonly #missed: string[] = [];

  /** @param mirrors host and perhaps a path, which is put before the repository; one with http: is spoken to without TLS */
  constructor(reference: RegistryReference, mirrors: readonly URL[], options: RegistryOptions) {
    this.name = reference.name;
    this.#onMissed = options.onWait;
    const mirrored = mirrors.map((url): Place => {
      const prefix = url.pathname.replace(/^\/+|\/+$/g, "");
      const repository = prefix === "" ? reference.repository : `${prefix}/${reference.repository}`;
      // Who names a mirror by http: has chosen to. Its logins are its own.
      const own = {
        ...options,
        insecure: url.protocol === "http:",
        credentials: undefined,
        attempts: MIRROR_ATTEMPTS,
      };
      return {
        host: url.host,
        source: new RegistrySource({ ...reference, registry: url.host, repository }, own),
      };
    });
    this.#places = [
      ...mirrored,
      { host: reference.registry, source: new RegistrySource(reference, options) },
    ];
  }

  async close(): Promise<void> {
    for (const { source } of this.#places) await source.close();
  }

  top(deadline: Deadline): Promise<SourceDocument> {
    return this.#ask(undefined, (source) => source.top(deadline), deadline);
  }

  document(descriptor: Descriptor, deadline: Deadline): Promise<SourceDocument> {
    return this.#ask(descriptor.digest, (source) => source.document(descriptor, deadline), deadline);
  }

  blob(
    descriptor: Descriptor,
    from: number,
    deadline: Deadline,
  ): Promise<{ from: number; chunks: AsyncIterable<Uint8Array> }> {
    return this.#ask(descriptor.digest, (source) => source.blob(descriptor, from, deadline), deadline);
  }

  passBy(digest: string | undefined, why: SmolVMError): boolean {
    const index = this.#gave.get(digest);
    if (index === undefined || index === this.#places.length - 1) return false;
    this.#miss(index, why);
    return true;
  }

  /** The first answer; what the registry itself says counts where none has one. */
  async #ask<T>(
    digest: string | undefined,
    ask: (source: ImageSource) => Promise<T>,
    deadline: Deadline,
  ): Promise<T> {
    this.#gave.delete(digest); // whoever gave it before has nothing to do with what comes of this
    for (let index = this.#first; ; index++) {
      try {
        const answer = await ask(this.#places[index]!.source);
        this.#gave.set(digest, index);
        return answer;
      } catch (error) {
        if (deadline.expired || !isSmolVMError(error)) throw error;
        if (index === this.#places.length - 1)
          throw this.#missed.length === 0 ? error : alsoMissed(error, this.#missed);
        this.#miss(index, error);
      }
    }
  }

  /** Those behind it are asked from now on. */
  #miss(index: number, why: SmolVMError): void {
    const { host } = this.#places[index]!;
    if (index >= this.#first) {
      this.#missed.push(`${host}: ${why.message}`);
      this.#onMissed?.(`not from the mirror ${host}: ${why.message}`);
    }
    this.#first = Math.max(this.#first, index + 1);
  }
}

function alsoMissed(error: SmolVMError, missed: readonly string[]): SmolVMError {
  return new SmolVMError(error.code, error.message, {
    hint: `${error.hint} Its mirrors (images.json, SMOLVM_REGISTRY_MIRRORS) do not give it either: ${missed.join("; ")}`,
    details: { ...error.details, mirrors: missed },
    cause: error,
  });
}
