import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { ACCEPTED, type Descriptor, MAX_DOCUMENT_BYTES } from "../oci/manifest.ts";
import type { RegistryReference } from "../oci/reference.ts";
import { type Challenge, parseChallenge } from "./challenge.ts";
import { type CredentialPlaces, type Credentials, findCredentials } from "./credentials.ts";
import { ConnectionFailed, discard, Http, type HttpResponse, type HttpSettings, readBody } from "./http.ts";
import { isLoopback } from "./plain-hosts.ts";
import { ATTEMPTS, isPassing, LONGEST_WAIT_MS, waitMs } from "./retry.ts";
import type { ImageSource, SourceDocument } from "./source.ts";

const DOCKER_HOST = "registry-1.docker.io";
const MAX_REDIRECTS = 5;
const MAX_TOKEN_BYTES = 1024 * 1024;
/** What Node says where TLS is spoken to a server that does not. */
const NO_TLS =
  /wrong version number|packet length too long|EPROTO|socket hang up|cut off|http request|record layer/i;

export interface RegistryOptions {
  readonly settings: HttpSettings & CredentialPlaces;
  /** plain HTTP is accepted: without it only of this machine */
  readonly insecure?: boolean | undefined;
  /** told once a request has to wait */
  readonly onWait?: ((message: string) => void) | undefined;
}

/** An image in a registry (https://github.com/opencontainers/distribution-spec, "Pull"). */
export class RegistrySource implements ImageSource {
  readonly name: string;
  readonly #reference: RegistryReference;
  readonly #options: RegistryOptions;
  readonly #http: Http;
  #base: URL | undefined;
  #authorization: string | undefined;
  #credentials: Promise<Credentials | undefined> | undefined;

  constructor(reference: RegistryReference, options: RegistryOptions) {
    this.name = reference.name;
    this.#reference = reference;
    this.#options = options;
    this.#http = new Http(options.settings);
  }

  async close(): Promise<void> {
    this.#http.close();
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
    let response = await this.#get(`blobs/${digest}`, range, deadline);
    if (response.status === 416) {
      discard(response);
      response = await this.#get(`blobs/${digest}`, {}, deadline);
    }
    if (response.status !== 200 && response.status !== 206)
      throw await this.#failure(response, "a layer of it");
    const begins = /^bytes (\d+)-/.exec(response.headers["content-range"] ?? "")?.[1];
    return {
      from: response.status === 206 ? Number(begins ?? from) : 0,
      chunks: chunksOf(response),
    };
  }

  async #manifest(reference: string, deadline: Deadline): Promise<SourceDocument> {
    for (let attempt = 0; ; attempt++) {
      const response = await this.#get(`manifests/${reference}`, { accept: ACCEPTED.join(", ") }, deadline);
      if (response.status !== 200) throw await this.#failure(response, "its manifest");
      try {
        const bytes = await readBody(response, MAX_DOCUMENT_BYTES);
        if (bytes === undefined)
          throw new SmolVMError(
            "IMAGE_INVALID",
            `the manifest of '${this.name}' is larger than ${MAX_DOCUMENT_BYTES / 2 ** 20} MiB`,
          );
        return { bytes, mediaType: response.headers["content-type"] ?? "" };
      } catch (error) {
        if (!(error instanceof ConnectionFailed) || attempt >= ATTEMPTS - 1) throw this.#unreachable(error);
        await deadline.sleep(waitMs(attempt, undefined, Date.now()));
      }
    }
  }

  /** GET of something of the repository, with what the registry wants to know, through its redirects. */
  async #get(path: string, headers: Record<string, string>, deadline: Deadline): Promise<HttpResponse> {
    const base = await this.#registry(deadline);
    const url = new URL(`/v2/${this.#reference.repository}/${path}`, base);
    for (let challenged = false; ; challenged = true) {
      const authorization = this.#authorization;
      const response = await this.#follow(url, headers, deadline);
      if (response.status !== 401 || challenged) return response;
      discard(response);
      // Another download may have been given one meanwhile.
      if (this.#authorization !== undefined && this.#authorization !== authorization) continue;
      this.#authorization = await this.#authorize(response.headers["www-authenticate"] ?? "", deadline);
    }
  }

  /** A redirect goes anywhere; who asks is told to the registry alone. */
  async #follow(from: URL, headers: Record<string, string>, deadline: Deadline): Promise<HttpResponse> {
    let url = from;
    for (let redirects = 0; ; redirects++) {
      const ours = url.origin === from.origin;
      const own: Record<string, string> =
        ours && this.#authorization !== undefined ? { authorization: this.#authorization } : {};
      const response = await this.#patiently(url, { headers: { ...headers, ...own } }, deadline);
      if (![301, 302, 303, 307, 308].includes(response.status)) return response;
      discard(response);
      const { location = "" } = response.headers;
      if (redirects >= MAX_REDIRECTS || !URL.canParse(location, url.href))
        throw this.#refuses(`it leads on and on (${redirects} redirects)`);
      url = new URL(location, url);
      url.username = "";
      url.password = "";
      if (url.protocol !== "https:" && !(url.protocol === "http:" && from.protocol === "http:"))
        throw this.#refuses(`it leads to ${url.protocol}//${url.host}, which is not encrypted`);
    }
  }

  /** Asks until there is an answer that stays. @throws SmolVMError REGISTRY_LIMITED, REGISTRY_FAILED */
  async #patiently(
    url: URL,
    request: { headers: Record<string, string>; method?: "GET" | "POST"; body?: string },
    deadline: Deadline,
  ): Promise<HttpResponse> {
    for (let attempt = 0; ; attempt++) {
      let response: HttpResponse;
      try {
        response = await this.#http.request(url, request, deadline);
      } catch (error) {
        if (!(error instanceof ConnectionFailed) || attempt >= ATTEMPTS - 1)
          throw this.#unreachable(error, url);
        await deadline.sleep(waitMs(attempt, undefined, Date.now()));
        continue;
      }
      if (!isPassing(response.status)) return response;
      const wait = waitMs(attempt, response.headers["retry-after"], Date.now());
      if (attempt >= ATTEMPTS - 1 || wait > LONGEST_WAIT_MS) throw await this.#overloaded(response, wait);
      discard(response);
      if (wait >= 1000)
        this.#options.onWait?.(
          `${url.host} asks to wait ${Math.ceil(wait / 1000)} s (status ${response.status})`,
        );
      await deadline.sleep(wait);
    }
  }

  /** Where the registry is, and whether it speaks TLS. */
  async #registry(deadline: Deadline): Promise<URL> {
    if (this.#base !== undefined) return this.#base;
    const { registry } = this.#reference;
    const host = registry === "docker.io" ? DOCKER_HOST : registry;
    if (!URL.canParse(`https://${host}`)) throw this.#refuses(`'${registry}' is no host`);
    const secure = new URL(`https://${host}`);
    if (!isLoopback(secure.hostname) && this.#options.insecure !== true) {
      this.#base = secure;
      return secure;
    }
    try {
      discard(await this.#http.request(new URL("/v2/", secure), {}, deadline));
      this.#base = secure;
    } catch (error) {
      if (!(error instanceof ConnectionFailed)) throw error;
      this.#base =
        NO_TLS.test(error.message) || NO_TLS.test(String((error.cause as Error)?.message))
          ? new URL(`http://${host}`)
          : secure;
    }
    return this.#base;
  }

  async #authorize(header: string, deadline: Deadline): Promise<string> {
    const challenge = parseChallenge(header);
    this.#credentials ??= findCredentials(
      this.#options.settings,
      this.#reference.registry,
      this.#reference.repository,
      deadline,
    );
    const credentials = await this.#credentials;
    if (challenge?.scheme === "bearer")
      return `Bearer ${await this.#token(challenge, credentials, deadline)}`;
    if (challenge?.scheme === "basic" && credentials !== undefined) return basic(credentials);
    throw this.#denied(credentials !== undefined);
  }

  /** https://distribution.github.io/distribution/spec/auth/token/, and .../oauth/ for identity tokens */
  async #token(
    {
      realm,
      service,
      scope,
    }: Challenge & {
      scheme: "bearer" | "basic";
      realm: string;
      service: string | undefined;
      scope: string | undefined;
    },
    credentials: Credentials | undefined,
    deadline: Deadline,
  ): Promise<string> {
    if (!URL.canParse(realm)) throw this.#refuses("it names nowhere to get a token");
    const url = new URL(realm);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && this.#base?.protocol === "http:"))
      throw this.#refuses(`it sends to ${url.protocol}//${url.host} for a token, which is not encrypted`);
    const asked = {
      ...(service === undefined ? {} : { service }),
      scope: scope ?? `repository:${this.#reference.repository}:pull`,
    };
    let response: HttpResponse;
    if (credentials?.identityToken !== undefined) {
      const body = new URLSearchParams({
        grant_type: "refresh_token",
        client_id: "smolvm",
        refresh_token: credentials.identityToken,
        ...asked,
      });
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      response = await this.#patiently(url, { method: "POST", headers, body: body.toString() }, deadline);
    } else {
      for (const [key, value] of Object.entries(asked)) url.searchParams.set(key, value);
      const headers: Record<string, string> =
        credentials === undefined ? {} : { authorization: basic(credentials) };
      response = await this.#patiently(url, { headers }, deadline);
    }
    if (response.status === 401 || response.status === 403) {
      discard(response);
      throw this.#denied(credentials !== undefined);
    }
    const body = response.status === 200 ? await readBody(response, MAX_TOKEN_BYTES) : undefined;
    const token = body === undefined ? undefined : tokenIn(body);
    if (token === undefined) {
      discard(response);
      throw this.#refuses(`${url.host} gives no token (status ${response.status})`);
    }
    return token;
  }

  /** The error for an answer that is none of what was asked for. */
  async #failure(response: HttpResponse, what: string): Promise<SmolVMError> {
    const { status } = response;
    const said = status >= 400 ? saidIn(await readBody(response, 64 * 1024).catch(() => undefined)) : "";
    discard(response);
    if (status === 401 || status === 403)
      return this.#denied((await this.#credentials?.catch(() => undefined)) !== undefined, said);
    if (status === 404) {
      const { registry, repository } = this.#reference;
      return new SmolVMError("IMAGE_NOT_FOUND", `${registry} has no image '${this.name}'${said}`, {
        hint:
          what === "its manifest"
            ? `Look whether the name and the tag are right. What is here already: smolvm image ls`
            : `The registry lacks ${what}. Pull it again later, or push it to ${registry}/${repository} again.`,
        details: { image: this.name, registry },
      });
    }
    return this.#refuses(`it answers with status ${status} for ${what}${said}`);
  }

  async #overloaded(response: HttpResponse, wait: number): Promise<SmolVMError> {
    const said = saidIn(await readBody(response, 64 * 1024).catch(() => undefined));
    const { registry } = this.#reference;
    if (response.status !== 429)
      return this.#refuses(`${response.url.host} answers with status ${response.status}${said}`);
    return new SmolVMError(
      "REGISTRY_LIMITED",
      `${registry} gives '${this.name}' to nobody from here for now: its rate limit is used up${said}`,
      {
        hint: `Try again ${response.headers["retry-after"] === undefined ? "later" : `in ${Math.ceil(wait / 1000)} s`}, or log in, which raises the limit: docker login${registry === "docker.io" ? "" : ` ${registry}`}`,
        details: { image: this.name, registry, retryAfterMs: wait },
      },
    );
  }

  #denied(asSomebody: boolean, said = ""): SmolVMError {
    const { registry } = this.#reference;
    const login = `docker login${registry === "docker.io" ? "" : ` ${registry}`}`;
    return new SmolVMError(
      "REGISTRY_AUTH",
      asSomebody
        ? `${registry} does not let this login have '${this.name}'${said}`
        : `${registry} does not give '${this.name}' to everybody, or has no such image${said}`,
      {
        hint: asSomebody
          ? `Log in as somebody who may: ${login}`
          : `Look whether the name is right, or log in: ${login} (Podman's logins count, too).`,
        details: { image: this.name, registry },
      },
    );
  }

  #refuses(what: string): SmolVMError {
    return new SmolVMError(
      "REGISTRY_FAILED",
      `'${this.name}' cannot be had from ${this.#reference.registry}: ${what}`,
      {
        hint: "Is that a registry? Its host is before the first slash. If it is, try again later.",
        details: { image: this.name, registry: this.#reference.registry },
      },
    );
  }

  #unreachable(error: unknown, url?: URL): unknown {
    if (!(error instanceof ConnectionFailed)) return error;
    const host = url?.host ?? this.#reference.registry;
    const plain = /wrong version number|packet length too long|EPROTO/.test(error.message);
    return new SmolVMError(
      "REGISTRY_FAILED",
      `${host} cannot be reached for '${this.name}': ${error.message}`,
      {
        hint:
          plain && this.#options.insecure !== true
            ? "If it speaks no TLS, and you trust the way to it: smolvm image pull --insecure IMAGE"
            : /certificate|issuer|self.signed/i.test(error.message)
              ? "If it has a certificate of your own authority: SSL_CERT_FILE=CA.pem smolvm image pull IMAGE"
              : "Look at the network, and at HTTPS_PROXY. What was downloaded is kept: the next pull goes on from there.",
        details: { image: this.name, host },
        cause: error,
      },
    );
  }
}

async function* chunksOf({ body }: HttpResponse): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw new ConnectionFailed((error as Error).message, { cause: error });
  }
}

function basic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

function tokenIn(body: Uint8Array): string | undefined {
  try {
    const { token, access_token: access } = JSON.parse(Buffer.from(body).toString("utf8")) as Record<
      string,
      unknown
    >;
    const found = typeof token === "string" && token !== "" ? token : access;
    // It becomes a header's value.
    if (typeof found === "string" && /^[\x21-\x7e]+$/.test(found)) return found;
  } catch {
    // none
  }
  return undefined;
}

/** What a registry says in its own words, short: ": TOOMANYREQUESTS ...". */
function saidIn(body: Uint8Array | undefined): string {
  try {
    const { errors } = JSON.parse(Buffer.from(body ?? []).toString("utf8")) as {
      errors?: { code?: unknown; message?: unknown }[];
    };
    const { message, code } = errors?.[0] ?? {};
    const text =
      typeof message === "string" && message !== "" ? message : typeof code === "string" ? code : "";
    return text === "" ? "" : ` (${text.slice(0, 200).replace(/[^\x20-\x7e]/g, "?")})`;
  } catch {
    return "";
  }
}
