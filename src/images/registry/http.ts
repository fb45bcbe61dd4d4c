import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import tls from "node:tls";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type ProxySettings, proxyFor } from "./plain-hosts.ts";

/** A server that says nothing for so long is taken for gone. */
const IDLE_MS = 60_000;
/** Connections to one host at a time. */
const MAX_SOCKETS = 6;

export interface HttpSettings extends ProxySettings {
  /** PEM file of certificates that are trusted besides Node's */
  readonly sslCertFile?: string | undefined;
}

export type HttpMethod = "GET" | "HEAD" | "POST" | "PATCH" | "PUT" | "DELETE";

export interface HttpRequest {
  readonly method?: HttpMethod;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** An answer's beginning; its body is read, or `discard`ed. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: http.IncomingMessage;
  readonly url: URL;
}

/** A connection failed, or ended in the middle: asked again it may be another way. */
export class ConnectionFailed extends Error {
  override readonly name = "ConnectionFailed";
}

/** HTTP as it is needed here: one request, one answer; no redirects, no credentials, no second attempt. */
export class Http {
  readonly #settings: HttpSettings;
  readonly #agents: { http: http.Agent; https: https.Agent };
  #ca: string[] | undefined;

  constructor(settings: HttpSettings = {}) {
    this.#settings = settings;
    const options = { keepAlive: true, maxSockets: MAX_SOCKETS };
    this.#agents = { http: new http.Agent(options), https: new https.Agent(options) };
  }

  /** Ends the connections that are kept. */
  close(): void {
    this.#agents.http.destroy();
    this.#agents.https.destroy();
  }

  /** @throws ConnectionFailed; SmolVMError CONFIG_INVALID (SSL_CERT_FILE), TIMEOUT, ABORTED */
  async request(
    url: URL,
    { method = "GET", headers = {}, body }: HttpRequest,
    deadline: Deadline,
  ): Promise<HttpResponse> {
    deadline.check();
    const options: https.RequestOptions = {
      method,
      headers: {
        "user-agent": "smolvm",
        ...headers,
        ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
      },
      signal: deadline.signal,
      timeout: IDLE_MS,
    };
    try {
      const request = await this.#begin(url, options, deadline);
      request.on("timeout", () => request.destroy(new Error(`no answer for ${IDLE_MS / 1000} s`)));
      const answered = once(request, "response") as Promise<[http.IncomingMessage]>;
      request.end(body);
      const [message] = await answered;
      message.on("error", () => {}); // told to who reads it; a body that nobody reads has no one to tell
      return { status: message.statusCode ?? 0, headers: message.headers, body: message, url };
    } catch (error) {
      if (deadline.expired) throw deadline.error();
      if (error instanceof SmolVMError) throw error;
      throw new ConnectionFailed(reasonOf(error), { cause: error });
    }
  }

  async #begin(url: URL, options: https.RequestOptions, deadline: Deadline): Promise<http.ClientRequest> {
    const proxy = proxyFor(url, this.#settings);
    if (url.protocol === "http:") {
      if (proxy === undefined) return http.request(url, { ...options, agent: this.#agents.http });
      const own = {
        ...options.headers,
        host: url.host,
        ...proxyCredentials(proxy),
      } as http.OutgoingHttpHeaders;
      return http.request({
        ...options,
        host: bare(proxy),
        port: portOf(proxy),
        path: url.href,
        headers: own,
      });
    }
    const ca = this.#trusted();
    if (proxy === undefined) return https.request(url, { ...options, ca, agent: this.#agents.https });
    const socket = await tunnel(proxy, url, deadline);
    const secured = tls.connect({ socket, ca, servername: bare(url) });
    // Without an agent, because those make connections of their own; it would have known the port that is left out.
    const headers = { ...options.headers, host: url.host } as http.OutgoingHttpHeaders;
    return https.request(url, { ...options, headers, createConnection: () => secured });
  }

  #trusted(): string[] | undefined {
    const { sslCertFile } = this.#settings;
    if (sslCertFile === undefined) return undefined;
    if (this.#ca !== undefined) return this.#ca;
    try {
      this.#ca = [...tls.rootCertificates, readFileSync(sslCertFile, "utf8")];
    } catch (error) {
      throw new SmolVMError("CONFIG_INVALID", `SSL_CERT_FILE: '${sslCertFile}' cannot be read`, {
        hint: "Let it name a file of certificates (PEM), or unset it.",
        cause: error,
      });
    }
    return this.#ca;
  }
}

/** A way through a proxy to a server (RFC 9110, 9.3.6). */
async function tunnel(proxy: URL, to: URL, deadline: Deadline): Promise<Socket> {
  const authority = `${to.hostname}:${portOf(to)}`;
  const request = (proxy.protocol === "https:" ? https : http).request({
    method: "CONNECT",
    host: bare(proxy),
    port: portOf(proxy),
    path: authority,
    headers: { host: authority, ...proxyCredentials(proxy) },
    signal: deadline.signal,
    timeout: IDLE_MS,
    agent: false,
  });
  request.on("timeout", () => request.destroy(new Error(`the proxy ${proxy.host} does not answer`)));
  const connected = once(request, "connect") as Promise<[http.IncomingMessage, Socket]>;
  request.end();
  const [{ statusCode }, socket] = await connected;
  if (statusCode === 200) return socket;
  socket.destroy();
  throw new Error(`the proxy ${proxy.host} refuses (status ${statusCode})`);
}

function proxyCredentials({ username, password }: URL): Record<string, string> {
  if (username === "") return {};
  const both = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(both).toString("base64")}` };
}

function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === "https:" ? 443 : 80);
}

/** A host's name without the brackets of an IPv6 address. */
function bare(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function reasonOf(error: unknown): string {
  const { code, message, errors } = (error ?? {}) as { code?: string; message?: string; errors?: unknown[] };
  // All addresses of a name were tried.
  if (errors?.[0] !== undefined) return reasonOf(errors[0]);
  const known: Record<string, string> = {
    ENOTFOUND: "there is no host of that name",
    EAI_AGAIN: "its name cannot be looked up",
    ECONNREFUSED: "nothing listens there",
    ECONNRESET: "the connection was cut off",
  };
  return known[code ?? ""] ?? message ?? String(error);
}

/**
 * A body of at most `max` bytes.
 * @returns undefined: it is larger
 * @throws ConnectionFailed
 */
export async function readBody({ body }: HttpResponse, max: number): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of body as AsyncIterable<Uint8Array>) {
      size += part.length;
      if (size > max) return undefined; // ends the connection, too
      parts.push(part);
    }
  } catch (error) {
    throw new ConnectionFailed(reasonOf(error), { cause: error });
  }
  return Buffer.concat(parts);
}

/** Gives up an answer's body. */
export function discard({ body }: HttpResponse): void {
  body.destroy();
}
