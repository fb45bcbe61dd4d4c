import { Writable } from "node:stream";
import { SmolVMError } from "../../errors.ts";
import type { AgentSession } from "../session/session.ts";
import type {
  Command,
  GuestProcess,
  Limits,
  OutputChunk,
  ProcessNumbers,
  PtySize,
  SpawnExit,
  SpawnOptions,
} from "../types.ts";
import { type Control, Open } from "../wire/messages.ts";
import { type Draft, encode } from "../wire/schema.ts";
import { checkPtySize, execRequest } from "./exec-request.ts";
import { PROCESS_WINDOW, ProcessLink, type ProcessRequest } from "./process-link.ts";
import { checkProcessId, signalProcess } from "./process-list.ts";
import { signalNumber } from "./signals.ts";

/**
 * Starts a command and returns it at once, with its output, input, signals and end as a {@link GuestProcess}; `started`
 * resolves when it runs. `timeoutMs` (counted from when the request is sent) and `signal` kill the process whenever they come.
 * For a detached process they limit its start alone, and the session is attached to it only when its output, input or result
 * is first asked for. Nothing is thrown: what is wrong rejects `started` and `result`.
 *
 * @param session may still be on its way
 * @param command a string for the guest's `/bin/sh -c`, or an array that is executed as it is
 * @param options or what gives them when the session is there
 *
 * Rejections: SmolVMError COMMAND_NOT_FOUND, COMMAND_NOT_EXECUTABLE, ARGUMENTS_TOO_LONG, FILE_NOT_FOUND (cwd),
 *   CONFIG_INVALID, RUN_TIMEOUT, RUN_ABORTED, AGENT_LOST, OUTCOME_UNKNOWN, AGENT_PROTOCOL
 */
export function spawnProcess(
  session: AgentSession | Promise<AgentSession>,
  command: Command,
  options: SpawnOptions | (() => SpawnOptions) = {},
): GuestProcess {
  return new LinkedProcess(Promise.resolve(session), (resolved) => {
    const given = typeof options === "function" ? options() : options;
    const { cwd, env, user, pty, detached } = given;
    const stdin = pty !== undefined || given.stdin !== "ignore";
    const { open, what } = execRequest(command, {
      cwd,
      env,
      user,
      pty,
      detached,
      stdin,
      window: PROCESS_WINDOW,
    });
    const request = { open, what, kind: "exec", options: given } as const;
    return {
      session: resolved,
      request,
      shape: { stdin, pty: pty !== undefined, detached: detached === true },
    };
  });
}

/**
 * Attaches to a detached process of any session: first come its last 256 KiB of output, then what it goes on to print. Only
 * one session is attached to a process at a time. Reaching the limits or ending the session detaches, and does not kill.
 *
 * @param session may still be on its way
 * @param id from {@link ProcessInfo} or {@link GuestProcess}
 *
 * Rejections (of `started` and `result`): SmolVMError PROCESS_NOT_FOUND, VM_BUSY if another session is attached, RUN_TIMEOUT,
 *   RUN_ABORTED, AGENT_LOST, AGENT_PROTOCOL
 */
export function attachProcess(
  session: AgentSession | Promise<AgentSession>,
  id: number,
  options: Limits & Pick<SpawnOptions, "output"> = {},
): GuestProcess {
  return new LinkedProcess(Promise.resolve(session), (resolved) => ({
    session: resolved,
    request: attachRequest(id, options),
    shape: { stdin: true, pty: true, detached: false },
  }));
}

function attachRequest(id: number, options: SpawnOptions): ProcessRequest {
  checkProcessId(id);
  const open = encode(Open, { attach: { process: id }, window: PROCESS_WINDOW });
  return { open, what: `attaching to process ${id}`, kind: "attach", options };
}

/** What a process was asked to be. */
interface Shape {
  readonly stdin: boolean;
  readonly pty: boolean;
  /** its own request starts it only; its output and end come by attaching */
  readonly detached: boolean;
}

interface Plan {
  readonly session: AgentSession;
  readonly request: ProcessRequest;
  readonly shape: Shape;
}

class LinkedProcess implements GuestProcess {
  readonly started: Promise<ProcessNumbers>;
  #numbers: ProcessNumbers | undefined;
  readonly #plan: Promise<Plan>;
  readonly #startLink: ProcessLink;
  /** where output and end come from, once it is known and asked for */
  #output: Promise<ProcessLink> | undefined;
  #result: Promise<SpawnExit> | undefined;
  #stdin: Writable | undefined;

  constructor(session: Promise<AgentSession>, plan: (session: AgentSession) => Plan) {
    this.#plan = session.then(plan);
    this.#startLink = new ProcessLink(this.#plan);
    this.started = this.#startLink.started;
    this.started.then(
      (numbers) => {
        this.#numbers = numbers;
      },
      () => {}, // for who awaits it
    );
  }

  get id(): number | undefined {
    return this.#numbers?.id;
  }

  get pid(): number | undefined {
    return this.#numbers?.pid;
  }

  #link(): Promise<ProcessLink> {
    this.#output ??= this.#plan.then(
      async ({ session, shape }) => {
        if (!shape.detached) return this.#startLink;
        const source = this.started.then(({ id }) => ({ session, request: attachRequest(id, {}) }));
        return new ProcessLink(source);
      },
      () => this.#startLink, // it has failed, and says why
    );
    return this.#output;
  }

  get result(): Promise<SpawnExit> {
    if (this.#result === undefined) {
      this.#result = this.#link().then((link) => {
        link.awaitEnd();
        return link.exit;
      });
      this.#result.catch(() => {}); // nobody has to look at it
    }
    return this.#result;
  }

  // biome-ignore lint/suspicious/noThenProperty: a process is a promise of its end, as surface.md wants it
  then<A = SpawnExit, B = never>(
    onExit?: ((exit: SpawnExit) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.result.then(onExit, onError);
  }

  catch<B = never>(onError?: ((error: unknown) => B | PromiseLike<B>) | null): Promise<SpawnExit | B> {
    return this.then(undefined, onError);
  }

  get stdin(): Writable {
    this.#stdin ??= stdinOf(this.#plan, () => this.#link());
    return this.#stdin;
  }

  async kill(signal: NodeJS.Signals | number = "SIGTERM"): Promise<void> {
    const number = signalNumber(signal);
    const plan = await this.#plan.catch(() => undefined);
    if (plan === undefined) return; // it never started
    if (!plan.shape.detached) return this.#control({ signal: number });
    const numbers = await this.started.catch(() => undefined);
    if (numbers === undefined) return;
    await signalProcess(plan.session, numbers.id, number, { tree: false }).catch(unlessGone);
  }

  async resize(size: PtySize): Promise<void> {
    const checked = checkPtySize(size);
    const plan = await this.#plan.catch(() => undefined);
    if (plan?.shape.pty === false) {
      throw new SmolVMError("CONFIG_INVALID", "the process has no terminal to resize", {
        hint: "Start it with pty: { cols, rows }.",
      });
    }
    await this.#control({ resize: checked });
  }

  async #control(control: Draft<Control>): Promise<void> {
    const link = await this.#link();
    await link.started.catch(() => {}); // then it is over, and this does nothing
    await link.stream?.control(control);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void, undefined> {
    const link = await this.#link();
    link.reading(1);
    try {
      for (let chunk = await link.next(); chunk !== undefined; chunk = await link.next()) yield chunk;
    } finally {
      link.reading(-1);
    }
  }

  /** Kills the process and all it started and waits for its end; a detached process is only let go of. */
  async [Symbol.asyncDispose](): Promise<void> {
    const plan = await this.#plan.catch(() => undefined);
    if (plan === undefined || (plan.shape.detached && this.#output === undefined)) return;
    const link = await this.#link();
    link.stop(new SmolVMError("RUN_ABORTED", `${plan.request.what} was given up`));
    await link.exit.catch(() => {}); // that is how it ends
  }
}

function unlessGone(error: unknown): void {
  if (!(error instanceof SmolVMError && error.code === "PROCESS_NOT_FOUND")) throw error;
}

function stdinOf(plan: Promise<Plan>, link: () => Promise<ProcessLink>): Writable {
  const stream = plan.then(
    async ({ shape }) => (shape.stdin ? (await link()).opening : undefined),
    () => undefined, // it never started: what is written goes nowhere
  );
  const stdin = new Writable({
    highWaterMark: 64 * 1024,
    write(chunk: Buffer, _encoding, callback) {
      stream.then((open) => open?.send(chunk)).then(() => callback(), callback);
    },
    final(callback) {
      stream.then((open) => open?.end()).then(() => callback(), callback);
    },
    destroy(error, callback) {
      stream.then((open) => open?.end()).then(() => callback(error), callback);
    },
  });
  // So that an endless source stops when its reader is gone.
  const close = (): void => {
    stdin.destroy();
  };
  link()
    .then(({ exit }) => exit)
    .then(close, close);
  return stdin;
}
