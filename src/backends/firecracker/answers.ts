import { SmolVMError } from "../../errors.ts";

/** One answer of Firecracker's API. */
export interface ApiAnswer {
  readonly status: number;
  readonly body: string;
}

/** Most bytes of an answer that are read: Firecracker's own are far shorter. */
const MAX_ANSWER_BYTES = 64 * 1024;
const HEAD_END = "\r\n\r\n";

/**
 * Takes HTTP answers out of a stream, in the order of the requests. What Firecracker's own server writes and no more than
 * that: a status, and a body whose length is said (https://github.com/firecracker-microvm/micro-http).
 */
export class AnswerReader {
  #held: Buffer = Buffer.alloc(0);

  /**
   * The answers that are complete with this piece.
   * @throws SmolVMError VMM_FAILED for what is no such answer, or too long for one
   */
  push(chunk: Buffer): ApiAnswer[] {
    this.#held = Buffer.concat([this.#held, chunk]);
    const answers: ApiAnswer[] = [];
    for (let answer = this.#take(); answer !== undefined; answer = this.#take()) answers.push(answer);
    if (this.#held.length > MAX_ANSWER_BYTES) throw strange("is too long");
    return answers;
  }

  #take(): ApiAnswer | undefined {
    const end = this.#held.indexOf(HEAD_END);
    if (end < 0) return undefined;
    const { status, bodyBytes } = readHead(this.#held.toString("latin1", 0, end));
    const bodyAt = end + HEAD_END.length;
    if (this.#held.length < bodyAt + bodyBytes) return undefined;
    const body = this.#held.toString("utf8", bodyAt, bodyAt + bodyBytes);
    this.#held = this.#held.subarray(bodyAt + bodyBytes);
    return { status, body };
  }
}

function readHead(head: string): { status: number; bodyBytes: number } {
  const status = /^HTTP\/1\.[01] (\d{3})(?: |\r\n|$)/.exec(head)?.[1];
  if (status === undefined || /^transfer-encoding:/im.test(head))
    throw strange("is of no form that is known");
  const bodyBytes = Number(/^content-length: *(\d{1,9})\r?$/im.exec(head)?.[1] ?? 0);
  if (bodyBytes > MAX_ANSWER_BYTES) throw strange("is too long");
  return { status: Number(status), bodyBytes };
}

function strange(what: string): SmolVMError {
  return new SmolVMError("VMM_FAILED", `an answer of Firecracker's API ${what}`);
}
