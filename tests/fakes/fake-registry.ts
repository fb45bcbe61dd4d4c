import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** What a request asked for. */
export interface Asked {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/**
 * A stand-in for a registry, for faults alone: it gives what is in an OCI layout under any repository, over HTTP on a port of 127.0.0.1, and does what
 * a real one (tests beside: Debian's docker-registry) cannot be made to do.
 */
export class FakeRegistry {
  readonly #server: Server;
  readonly #layout: string;
  /** all that was asked for, in order */
  readonly asked: Asked[] = [];
  /** asked first: true if it has answered */
  fault: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;

  constructor(layout: string) {
    this.#layout = layout;
    this.#server = createServer((request, response) => {
      this.asked.push({ path: request.url ?? "", headers: request.headers });
      if (!this.fault(request, response)) this.#answer(request, response);
    });
  }

  /** @returns host and port */
  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this.host;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  blobFile(digest: string): Buffer {
    return readFileSync(join(this.#layout, "blobs", "sha256", digest.slice("sha256:".length)));
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? "";
    const blob = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(path)?.[1];
    const manifest = /\/manifests\/(.+)$/.exec(path)?.[1];
    if (path === "/v2/") response.end("{}");
    else if (blob !== undefined) this.#blob(blob, request, response);
    else if (manifest !== undefined) {
      const index = JSON.parse(readFileSync(join(this.#layout, "index.json"), "utf8")) as {
        manifests: { digest: string; mediaType: string; annotations?: Record<string, string> }[];
      };
      const found = index.manifests.find(
        ({ digest, annotations }) =>
          digest === manifest || annotations?.["org.opencontainers.image.ref.name"] === manifest,
      );
      if (found === undefined && !manifest.startsWith("sha256:")) {
        response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
        return;
      }
      response.writeHead(200, {
        "content-type": found?.mediaType ?? "application/vnd.oci.image.manifest.v1+json",
      });
      response.end(this.blobFile(found?.digest ?? manifest));
    } else response.writeHead(404).end();
  }

  #blob(digest: string, request: IncomingMessage, response: ServerResponse): void {
    const bytes = this.blobFile(digest);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    if (from === 0) response.writeHead(200, { "content-length": bytes.length });
    else
      response.writeHead(206, {
        "content-length": bytes.length - from,
        "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
      });
    response.end(bytes.subarray(from));
  }
}
