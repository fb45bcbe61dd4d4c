import { type Readable, Writable } from "node:stream";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { signalNumber } from "../../util/guest-signals.ts";
import type { AgentSession } from "../session/session.ts";
import type { AgentStream } from "../session/stream.ts";
import type {
  AttachOptions,
  Command,
  GuestProcess,
  KillOptions,
  OutputChunk,
  ProcessNumbers,
  PtySize,
  SpawnExit,
  SpawnOptions,
} from "../types.ts";
import { Open } from "../wire/messages.ts";
import { encode } from "../wire/schema.ts";
import { checkKillOptions } from "./check-options.ts";
import { checkPtySize, execRequest } from "./exec-request.ts";
import { ProcessLink, type ProcessRequest } from "./process-link.ts";
import { checkProcessId, signalProcess } from "./process-list.ts";
import { outputStream, PROCESS_WINDOW } from "./process-output.ts";

/**
 * Starts a command and returns it at once, with its output, input, signals and end as a {@link GuestProcess}; `started`
 * resolves when it runs. `timeoutMs` (counted from when the request is sent) and `signal` kill the process whenever they come.
 * For a detached process they limit its start alone, and the session is attached to it only when its output, input or end
 * is first asked for. Nothing is thrown: what is wrong rejects `started` and `wait()`.
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
    const { cwd, env, user, limits, pty, detached } = given;
    const stdin = pty !== undefined || given.stdin !== "ignore";
    const { open, what } = execRequest(command, {
      cwd,
      env,
      user,
      limits,
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
 * Rejections (of `started` and `wait()`): SmolVMError PROCESS_NOT_FOUND, VM_BUSY if another session is attached, RUN_TIMEOUT,
 *   RUN_ABORTED, AGENT_LOST, AGENT_PROTOCOL
 */
export function attachProcess(
  session: AgentSession | Promise<AgentSession>,
  id: number,
  options: AttachOptions = {},
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
  #exit: Promise<SpawnExit> | undefined;
  #stdin: Writable | undefined;
  #stdout: Readable | undefined;
  #stderr: Readable | undefined;

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
      async ({ session, request, shape }) => {
        if (!shape.detached) return this.#startLink;
        const { stdout, stderr } = request.options;
        const source = this.started.then(({ id }) => ({
          session,
          request: attachRequest(id, { stdout, stderr }),
        }));
        return new ProcessLink(source);
      },
      () => this.#startLink, // it has failed, and says why
    );
    return this.#output;
  }

  wait(): Promise<SpawnExit> {
    if (this.#exit === undefined) {
      this.#exit = this.#link().then((link) => {
        link.output.awaitEnd();
        return link.exit;
      });
      this.#exit.catch(() => {}); // nobody has to look at it
    }
    return this.#exit;
  }

  get stdin(): Writable {
    this.#stdin ??= stdinOf(this.#plan, () => this.#link());
    return this.#stdin;
  }

  get stdout(): Readable {
    this.#stdout ??= outputStream(async () => (await this.#link()).output, "stdout");
    return this.#stdout;
  }

  get stderr(): Readable {
    this.#stderr ??= outputStream(async () => (await this.#link()).output, "stderr");
    return this.#stderr;
  }

  async kill(signal: NodeJS.Signals | number = "SIGTERM", options: KillOptions = {}): Promise<boolean> {
    checkKillOptions(options);
    const number = signalNumber(signal);
    const plan = await this.#plan.catch(() => undefined);
    const numbers = await this.started.catch(() => undefined);
    if (plan === undefined || numbers === undefined) return false; // it never started
    if (this.#startLink.over && !plan.shape.detached) return false;
    try {
      await signalProcess(plan.session, numbers.id, number, options);
      return true;
    } catch (error) {
      if (isSmolVMError(error, "PROCESS_NOT_FOUND")) return false; // it has ended
      throw error;
    }
  }

  async resize(size: PtySize): Promise<void> {
    const checked = checkPtySize(size);
    const plan = await this.#plan.catch(() => undefined);
    if (plan?.shape.pty === false) {
      throw new SmolVMError("CONFIG_INVALID", "the process has no terminal to resize", {
        hint: "Start it with pty: { cols, rows }.",
      });
    }
    const link = await this.#link();
    await link.started.catch(() => {}); // then it is over, and this does nothing
    await link.stream?.control({ resize: checked });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, undefined, undefined> {
    const reader = (await this.#link()).output.reader();
    try {
      for (let chunk = await reader.next(); chunk !== undefined; chunk = await reader.next()) yield chunk;
    } finally {
      reader.close();
    }
  }

  /** Kills the process and all it started and waits for its end; a detached process is only let go of. */
  async [Symbol.asyncDispose](): Promise<void> {
    const plan = await this.#plan.catch(() => undefined);
    if (plan === undefined || (plan.shape.detached && this.#output === undefined)) return;
    const link = await this.#link();
    link.stop({ kind: "dispose" });
    await link.exit.catch(() => {}); // that is how it ends
  }
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
      const end = async (open: AgentStream | undefined): Promise<void> => {
        // A source that failed has not ended: the command must not take what came for all that there is.
        if (error === null || stdin.writableFinished) open?.end();
        else if (open !== undefined) (await link()).stop({ kind: "stdin", cause: error });
      };
      stream.then(end).then(() => callback(error), callback);
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
