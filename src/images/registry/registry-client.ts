import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type Challenge, parseChallenge } from "./challenge.ts";
import { type CredentialPlaces, type Credentials, findCredentials } from "./credentials.ts";
import {
  ConnectionFailed,
  discard,
  Http,
  type HttpMethod,
  type HttpResponse,
  type HttpSettings,
  readBody,
} from "./http.ts";
import { isLoopback } from "./plain-hosts.ts";
import { ATTEMPTS, isPassing, LONGEST_WAIT_MS, waitMs } from "./retry.ts";

const DOCKER_HOST = "registry-1.docker.io";
const MAX_REDIRECTS = 5;
/** An answer of "who are you" is followed so often: a token may be for reading alone, or have ended. */
const MAX_CHALLENGES = 3;
const MAX_TOKEN_BYTES = 1024 * 1024;
/** What Node says where TLS is spoken to a server that does not. */
const NO_TLS =
  /wrong version number|packet length too long|EPROTO|socket hang up|cut off|http request|record layer/i;

export interface RegistryOptions {
  readonly settings: HttpSettings & CredentialPlaces;
  /** plain HTTP is accepted: without it only of this machine */
  readonly insecure?: boolean | undefined;
  /** how often something is asked before it counts as failed; default 5 */
  readonly attempts?: number | undefined;
  /** who asks; absent: as `settings` say */
  readonly credentials?: Credentials | undefined;
  /** told once a request has to wait */
  readonly onWait?: ((message: string) => void) | undefined;
}

/** What is asked of a registry. */
export interface RegistryRequest {
  readonly method?: HttpMethod;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** what changes something may have done so where the answer is lost: then who asks finds out, instead of it being asked again */
  readonly once?: boolean;
}

/** A repository of a registry (https://github.com/opencontainers/distribution-spec): finding it, who asks, redirects, waiting. */
export class RegistryClient {
  /** what the image is called, for errors */
  readonly name: string;
  readonly registry: string;
  readonly repository: string;
  readonly #options: RegistryOptions;
  readonly #http: Http;
  #base: URL | undefined;
  #authorization: string | undefined;
  #credentials: Promise<Credentials | undefined> | undefined;

  /** @param repository "" for the registry itself */
  constructor(
    { name, registry, repository }: { name: string; registry: string; repository: string },
    options: RegistryOptions,
  ) {
    this.name = name;
    this.registry = registry;
    this.repository = repository;
    this.#options = options;
    this.#http = new Http(options.settings);
    if (options.credentials !== undefined) this.#credentials = Promise.resolve(options.credentials);
  }

  close(): void {
    this.#http.close();
  }

  get #attempts(): number {
    return this.#options.attempts ?? ATTEMPTS;
  }

  /**
   * Asks for something, with what the registry wants to know.
   * @param path below the repository ("blobs/sha256:..."), or a whole URL that the registry gave
   * @throws SmolVMError REGISTRY_AUTH, REGISTRY_LIMITED, REGISTRY_FAILED, TIMEOUT, ABORTED
   */
  async send(path: string | URL, request: RegistryRequest, deadline: Deadline): Promise<HttpResponse> {
    const base = await this.base(deadline);
    const below = this.repository === "" ? "/v2/" : `/v2/${this.repository}/${path as string}`;
    const url = path instanceof URL ? path : new URL(below, base);
    for (let challenges = 0; ; challenges++) {
      const authorization = this.#authorization;
      const response = await this.#follow(url, request, deadline);
      if (response.status !== 401 || challenges >= MAX_CHALLENGES) return response;
      discard(response);
      // Another request may have been given one meanwhile.
      if (this.#authorization !== undefined && this.#authorization !== authorization) continue;
      // Whoever is told what was asked for and says no again means it.
      const next = await this.#authorize(response.headers["www-authenticate"] ?? "", deadline);
      if (next === authorization) throw this.#denied(true);
      this.#authorization = next;
    }
  }

  /** A redirect goes anywhere; who asks is told to the registry alone. */
  async #follow(
    from: URL,
    { headers = {}, ...request }: RegistryRequest,
    deadline: Deadline,
  ): Promise<HttpResponse> {
    let url = from;
    const base = await this.base(deadline);
    for (let redirects = 0; ; redirects++) {
      const ours = url.origin === base.origin;
      const own: Record<string, string> =
        ours && this.#authorization !== undefined ? { authorization: this.#authorization } : {};
      const response = await this.#patiently(url, { ...request, headers: { ...headers, ...own } }, deadline);
      const reads = ["GET", "HEAD"].includes(request.method ?? "GET");
      if (!reads || ![301, 302, 303, 307, 308].includes(response.status)) return response;
      discard(response);
      const { location = "" } = response.headers;
      if (redirects >= MAX_REDIRECTS || !URL.canParse(location, url.href))
        throw this.#refuses(`it leads on and on (${redirects} redirects)`);
      url = new URL(location, url);
      url.username = "";
      url.password = "";
      if (url.protocol !== "https:" && !(url.protocol === "http:" && base.protocol === "http:"))
        throw this.#refuses(`it leads to ${url.protocol}//${url.host}, which is not encrypted`);
    }
  }

  /** Asks until there is an answer that stays. @throws SmolVMError REGISTRY_LIMITED, REGISTRY_FAILED */
  async #patiently(
    url: URL,
    { once = false, ...request }: RegistryRequest,
    deadline: Deadline,
  ): Promise<HttpResponse> {
    for (let attempt = 0; ; attempt++) {
      let response: HttpResponse;
      try {
        response = await this.#http.request(url, request, deadline);
      } catch (error) {
        if (once) throw error;
        if (!(error instanceof ConnectionFailed) || attempt >= this.#attempts - 1)
          throw this.unreachable(error, url);
        await deadline.sleep(waitMs(attempt, undefined, Date.now()));
        continue;
      }
      if (!isPassing(response.status)) return response;
      const wait = waitMs(attempt, response.headers["retry-after"], Date.now());
      if (attempt >= this.#attempts - 1 || wait > LONGEST_WAIT_MS)
        throw await this.#overloaded(response, wait);
      discard(response);
      if (wait >= 1000)
        this.#options.onWait?.(
          `${url.host} asks to wait ${Math.ceil(wait / 1000)} s (status ${response.status})`,
        );
      await deadline.sleep(wait);
    }
  }

  /** Where the registry is, and whether it speaks TLS. */
  async base(deadline: Deadline): Promise<URL> {
    if (this.#base !== undefined) return this.#base;
    const { registry } = this;
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
    this.#credentials ??= findCredentials(this.#options.settings, this.registry, this.repository, deadline);
    const credentials = await this.#credentials;
    if (challenge?.scheme === "bearer")
      return `Bearer ${await this.#token(challenge, credentials, deadline)}`;
    if (challenge?.scheme === "basic" && credentials !== undefined) return basic(credentials);
    throw this.#denied(credentials !== undefined);
  }

  /** https://distribution.github.io/distribution/spec/auth/token/, and .../oauth/ for identity tokens */
  async #token(
    { realm, service, scope }: Extract<Challenge, { scheme: "bearer" }>,
    credentials: Credentials | undefined,
    deadline: Deadline,
  ): Promise<string> {
    if (!URL.canParse(realm)) throw this.#refuses("it names nowhere to get a token");
    const url = new URL(realm);
    if (url.protocol !== "https:" && !(url.protocol === "http:" && this.#base?.protocol === "http:"))
      throw this.#refuses(`it sends to ${url.protocol}//${url.host} for a token, which is not encrypted`);
    const asked = {
      ...(service === undefined ? {} : { service }),
      ...(this.repository === "" ? {} : { scope: scope ?? `repository:${this.repository}:pull` }),
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
  async failure(response: HttpResponse, what: string): Promise<SmolVMError> {
    const { status } = response;
    const said = status >= 400 ? saidIn(await readBody(response, 64 * 1024).catch(() => undefined)) : "";
    discard(response);
    if (status === 401 || status === 403)
      return this.#denied((await this.#credentials?.catch(() => undefined)) !== undefined, said);
    if (status === 404) {
      const { registry, repository } = this;
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
    const { registry } = this;
    if (response.status !== 429)
      return this.#refuses(`${response.url.host} answers with status ${response.status}${said}`);
    return new SmolVMError(
      "REGISTRY_LIMITED",
      `${registry} gives '${this.name}' to nobody from here for now: its rate limit is used up${said}`,
      {
        hint: `Try again ${response.headers["retry-after"] === undefined ? "later" : `in ${Math.ceil(wait / 1000)} s`}, or log in, which raises the limit: ${loginCommand(registry)}`,
        details: { image: this.name, registry, retryAfterMs: wait },
      },
    );
  }

  #denied(asSomebody: boolean, said = ""): SmolVMError {
    const { registry } = this;
    const login = loginCommand(registry);
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
    return new SmolVMError("REGISTRY_FAILED", `'${this.name}' cannot be had from ${this.registry}: ${what}`, {
      hint: "Is that a registry? Its host is before the first slash. If it is, try again later.",
      details: { image: this.name, registry: this.registry },
    });
  }

  unreachable(error: unknown, url?: URL): unknown {
    if (!(error instanceof ConnectionFailed)) return error;
    const host = url?.host ?? this.registry;
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
              : "Look at the network, and at HTTPS_PROXY. What came before a cut is kept: do it again, and it goes on from there.",
        details: { image: this.name, host },
        cause: error,
      },
    );
  }
}

function loginCommand(registry: string): string {
  return `smolvm image login -u NAME${registry === "docker.io" ? "" : ` ${registry}`} < PASSWORD-FILE`;
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
