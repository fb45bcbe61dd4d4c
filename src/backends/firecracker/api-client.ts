import type { Socket } from "node:net";
import { SmolVMError } from "../../errors.ts";
import type { Deadline } from "../../util/deadline.ts";
import { dialWhenThere } from "../control-socket.ts";
import { AnswerReader, type ApiAnswer } from "./answers.ts";
import { faultError, faultMessage } from "./faults.ts";
import type { ApiRequest } from "./requests.ts";

type Call = Omit<ApiRequest, "method" | "body"> & {
  readonly method: ApiRequest["method"] | "GET";
  readonly body: ApiRequest["body"] | undefined;
};

/** A client of Firecracker's API on its Unix socket: one connection, one conversation at a time. */
export class ApiClient {
  readonly #socketPath: string;
  #socket: Socket | undefined;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /**
   * Asks for something that changes nothing.
   * @returns its JSON
   * @throws SmolVMError as {@link send} does
   */
  async get(path: string, deadline: Deadline): Promise<unknown> {
    const [answer] = await this.#ask([{ method: "GET", path, body: undefined, what: path }], deadline);
    try {
      return JSON.parse(answer!.body);
    } catch (error) {
      throw new SmolVMError("VMM_FAILED", `Firecracker's answer to ${path} is not JSON`, { cause: error });
    }
  }

  /**
   * Sends requests in one go, waiting for the socket to appear if it has to. Firecracker takes them in their order, and
   * those behind one that it refuses as well.
   * @throws SmolVMError TIMEOUT (no socket, or no answer), ABORTED, VMM_FAILED, and what {@link faultError} makes of the first refusal
   */
  async send(calls: readonly ApiRequest[], deadline: Deadline): Promise<void> {
    await this.#ask(calls, deadline);
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #ask(calls: readonly Call[], deadline: Deadline): Promise<ApiAnswer[]> {
    this.#socket ??= await dialWhenThere(this.#socketPath, deadline);
    const socket = this.#socket;
    try {
      return await deadline.race(exchange(socket, calls));
    } catch (error) {
      this.close(); // what it would still answer belongs to nothing
      throw error;
    }
  }
}

/** Writes the calls and collects their answers, up to the first that is a refusal. */
function exchange(socket: Socket, calls: readonly Call[]): Promise<ApiAnswer[]> {
  return new Promise((resolve, reject) => {
    const reader = new AnswerReader();
    const answers: ApiAnswer[] = [];
    const settle = (): void => {
      socket.off("data", onData).off("error", onEnd).off("close", onEnd);
      socket.on("error", () => {}); // a late one: the next conversation finds out
    };
    const fail = (error: unknown): void => {
      settle();
      reject(error);
    };
    const onEnd = (cause?: Error | boolean): void =>
      fail(noAnswer(calls[answers.length]!.what, typeof cause === "object" ? cause.message : "it hung up"));
    const onData = (chunk: Buffer): void => {
      try {
        for (const answer of reader.push(chunk)) answers.push(accepted(answer, calls[answers.length]));
      } catch (error) {
        fail(error);
      }
      if (answers.length < calls.length) return;
      settle();
      resolve(answers);
    };
    socket.on("data", onData).on("error", onEnd).on("close", onEnd);
    socket.write(calls.map(encode).join(""));
  });
}

/** An answer that is no refusal. @throws SmolVMError */
function accepted(answer: ApiAnswer, call: Call | undefined): ApiAnswer {
  if (call === undefined) throw noAnswer("itself", "it answered what was not asked");
  if (answer.status >= 200 && answer.status <= 299) return answer;
  throw faultError(call.what, answer.status, faultMessage(answer.body));
}

function encode({ method, path, body }: Call): string {
  const head = [`${method} ${path} HTTP/1.1`, "Host: localhost", "Accept: application/json"];
  if (body === undefined) return `${[...head, "", ""].join("\r\n")}`;
  const text = JSON.stringify(body);
  const length = Buffer.byteLength(text);
  return [...head, "Content-Type: application/json", `Content-Length: ${length}`, "", text].join("\r\n");
}

function noAnswer(what: string, why: string): SmolVMError {
  return new SmolVMError("VMM_FAILED", `Firecracker gave no answer about ${what}: ${why}`);
}
