import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { GuestFiles } from "../../src/agent/files/guest-files.ts";
import { AgentSession } from "../../src/agent/session/session.ts";
import { Deadline } from "../../src/util/deadline.ts";
import { until } from "./wait.ts";

const BINARY = join(
  import.meta.dirname,
  `../../native/agent-${process.arch === "arm64" ? "aarch64" : "x86_64"}`,
);

/** The real agent as an ordinary process of this machine, on a Unix socket, with a directory of its own. */
export interface LocalAgent {
  readonly directory: string;
  readonly socket: string;
  readonly process: ChildProcess;
  connect(): Promise<AgentSession>;
  stop(): Promise<void>;
}

/** The agent is who runs the tests: as an ordinary user it can become nobody else, and gives nothing away. */
export const AGENT_IS_ROOT: boolean = process.getuid?.() === 0;

/** What it says of who it should be instead. */
export const NOT_ANOTHER = { code: "FILE_PERMISSION", details: { errno: "EPERM" } } as const;

/** Why the suites against the real agent cannot run, or undefined. */
export function agentMissing(): string | undefined {
  if (process.platform !== "linux") return "the agent runs on Linux";
  return existsSync(BINARY) ? undefined : "native/ holds no agent: scripts/build-native.sh makes it";
}

export async function startAgent(): Promise<LocalAgent> {
  const directory = mkdtempSync(join(tmpdir(), "smolvm-agent-"));
  const socket = join(directory, "agent.sock");
  const child = spawn(BINARY, ["--listen-unix", socket], { stdio: "ignore" });
  await until("the agent listens", () => existsSync(socket));
  return {
    directory,
    socket,
    process: child,
    connect: () =>
      AgentSession.connect(
        { kind: "unix", path: socket },
        { deadline: Deadline.of("connecting to the agent", { timeoutMs: 60_000 }) },
      ),
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await once(child, "exit");
      }
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** The real agent for the tests of one block, with a session and the guest's files. */
export interface AgentGuest {
  readonly agent: LocalAgent;
  readonly session: AgentSession;
  readonly files: GuestFiles;
}

/**
 * Starts an agent before the block's first test, gives it to `take`, and ends it after the last one.
 * @returns makes a new directory, which is the guest's and the host's: the same machine here
 */
export function useAgent(take: (guest: AgentGuest) => void): () => string {
  let root = "";
  let count = 0;
  let end: () => Promise<void>;
  beforeAll(async () => {
    const agent = await startAgent();
    const session = await agent.connect();
    root = agent.directory;
    end = async () => {
      await session.close();
      await agent.stop();
    };
    take({ agent, session, files: new GuestFiles(async () => session) });
  });
  afterAll(() => end());
  return () => {
    const path = join(root, `test-${count++}`);
    mkdirSync(path);
    return path;
  };
}
