import { Agent, type IncomingMessage, request } from "node:http";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { faultError, faultMessage } from "./faults.ts";
import type { ApiRequest } from "./requests.ts";

/** Most bytes of an answer that are read: Firecracker's own are far shorter. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Between looks for a socket that Firecracker is about to make: it takes some ms. */
const RETRY_MS = 1;

type Call = Omit<ApiRequest, "method" | "body"> & {
  readonly method: ApiRequest["method"] | "GET";
  readonly body: ApiRequest["body"] | undefined;
};

/** A client of Firecracker's API on its Unix socket: one connection, one request at a time. */
export class ApiClient {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /**
   * Asks for something that changes nothing.
   * @returns its JSON
   * @throws SmolVMError as {@link send} does
   */
  async get(path: string, deadline: Deadline): Promise<unknown> {
    const body = await this.#request({ method: "GET", path, body: undefined, what: path }, deadline);
    try {
      return JSON.parse(body);
    } catch (error) {
      throw new SmolVMError("VMM_FAILED", `Firecracker's answer to ${path} is not JSON`, { cause: error });
    }
  }

  /**
   * Sends a request, waiting for the socket to appear if it has to.
   * @throws SmolVMError TIMEOUT (no socket, or no answer), ABORTED, VMM_FAILED, and what {@link faultError} makes of a refusal
   */
  async send(call: ApiRequest, deadline: Deadline): Promise<void> {
    await this.#request(call, deadline);
  }

  async #request(call: Call, deadline: Deadline): Promise<string> {
    for (;;) {
      deadline.check();
      try {
        const { status, body } = await this.#once(call, deadline);
        if (status >= 200 && status < 300) return body;
        throw faultError(call.what, status, faultMessage(body));
      } catch (error) {
        if (error instanceof SmolVMError) throw error;
        if (deadline.expired) throw deadline.error();
        const { code, message } = error as NodeJS.ErrnoException;
        if (code !== "ENOENT" && code !== "ECONNREFUSED") {
          throw new SmolVMError("VMM_FAILED", `Firecracker gave no answer about ${call.what}: ${message}`, {
            details: { errno: code },
            cause: error,
          });
        }
      }
      await deadline.sleep(RETRY_MS);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #once(call: Call, deadline: Deadline): Promise<{ status: number; body: string }> {
    const body = call.body === undefined ? "" : JSON.stringify(call.body);
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          socketPath: this.#socketPath,
          agent: this.#agent,
          method: call.method,
          path: call.path,
          headers: {
            Accept: "application/json",
            ...(body === ""
              ? {}
              : { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) }),
          },
          signal: deadline.signal,
        },
        (answer) => {
          readBounded(answer).then((text) => resolve({ status: answer.statusCode ?? 0, body: text }), reject);
        },
      );
      sent.once("error", reject);
      sent.end(body);
    });
  }
}

async function readBounded(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error("its answer is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
