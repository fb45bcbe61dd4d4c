import { lstatSync, readdirSync, readFileSync } from "node:fs";
import { cpus, freemem, loadavg, release, totalmem, uptime } from "node:os";
import { join } from "node:path";
import { info } from "../../agent/machine.ts";
import { backendOf } from "../../backends/registry.ts";
import { diskSpace } from "../../host/files/disk-space.ts";
import { isAlive, type ProcessIdentity } from "../../host/process/process-identity.ts";
import type { VmRecord } from "../../store/vms.ts";
import type { Deadline } from "../../util/deadline.ts";
import { Deadline as Limit } from "../../util/deadline.ts";
import { Channel } from "../channel/channel.ts";
import { filesOf, type Home } from "../home.ts";
import { hostState } from "../info/host-state.ts";
import { describe } from "../info/info.ts";
import { readLog } from "../machine/console.ts";
import { HIDDEN, hideValues, scrub, scrubText, secretsOf } from "./secrets.ts";

/** One file of a diagnosis. */
export interface DiagnosisFile {
  /** e.g. "record.json" */
  readonly name: string;
  readonly text: string;
}

/** How long the VMM and the agent each may take to answer: what is broken may be they. */
const ANSWER_MS = 5_000;

/**
 * Everything about a sandbox that helps to find out what is wrong with it, without secrets that smolvm knows of. Changes
 * nothing: the record is read as it is. What cannot be had is told in its place.
 */
export async function diagnose(home: Home, record: VmRecord, deadline: Deadline): Promise<DiagnosisFile[]> {
  const files = filesOf(home, record.id);
  const secrets = secretsOf({ env: record.spec.env, bootArgs: record.spec.machine.bootArgs });
  const json = (name: string, value: unknown): DiagnosisFile => ({
    name,
    text: `${JSON.stringify(scrub(value, secrets), undefined, 2)}\n`,
  });
  const text = (name: string, content: string): DiagnosisFile => ({
    name,
    text: scrubText(content, secrets),
  });
  const attempt = async (ask: (limit: Deadline) => Promise<unknown>): Promise<unknown> => {
    const limit = Limit.of("diagnosing a sandbox", {
      timeoutMs: Math.min(ANSWER_MS, deadline.remainingMs),
      signal: deadline.signal,
    });
    try {
      return await ask(limit);
    } catch (error) {
      deadline.check();
      return { failed: limit.expired ? `no answer within ${limit.timeoutMs} ms` : (error as Error).message };
    }
  };
  const runs = record.vmm !== undefined && isAlive(record.vmm);
  const { backend } = record.spec.machine;
  return [
    json("record.json", redacted(record)),
    json("info.json", describe(record, { ...hostState(home), ports: home.store.ports.of(record.id) })),
    json("processes.json", {
      vmm: processFacts(record.vmm),
      monitor: processFacts(record.vmm?.monitor),
      owner: processFacts(record.owner),
    }),
    json("files.json", { dir: listing(files.dir), runtimeDir: listing(files.runtimeDir) }),
    json("vmm.json", runs ? await attempt((limit) => backendOf(backend).inspect(files, limit)) : NOT_RUNNING),
    json("agent.json", runs ? await attempt((limit) => askAgent(home, record, limit)) : NOT_RUNNING),
    json("host.json", hostFacts(home)),
    text("console.log", readLog(files.console)),
    text("vmm.log", readLog(files.vmmLog)),
    text("exit.json", readText(files.exit)),
  ];
}

const NOT_RUNNING = { failed: "the machine does not run" };

/** The record without the values of its environment and kernel arguments. Pure. */
function redacted(record: VmRecord): unknown {
  const { env, machine } = record.spec;
  return {
    ...record,
    spec: {
      ...record.spec,
      env: Object.fromEntries(Object.keys(env).map((name) => [name, HIDDEN])),
      machine: { ...machine, bootArgs: hideValues(machine.bootArgs) },
    },
  };
}

async function askAgent(home: Home, record: VmRecord, deadline: Deadline): Promise<unknown> {
  const channel = new Channel(home, record);
  try {
    const session = await channel.session(deadline);
    return { hello: { ...session.hello, nonce: undefined }, info: await info(session, deadline.limits) };
  } finally {
    await channel.close();
  }
}

function processFacts(identity: ProcessIdentity | undefined): unknown {
  if (identity === undefined) return undefined;
  const of = (name: string): string => readText(`/proc/${identity.pid}/${name}`);
  if (!isAlive(identity)) return { ...identity, alive: false };
  return {
    ...identity,
    alive: true,
    // Its arguments are the record's; the environment and memory are nobody's business.
    status: of("status").split("\n").filter(Boolean),
    wchan: of("wchan"),
    descriptors: entries(`/proc/${identity.pid}/fd`).length,
  };
}

function hostFacts(home: Home): unknown {
  const [cpu] = cpus();
  return {
    smolvmHome: home.paths,
    platform: process.platform,
    arch: process.arch,
    release: release(),
    node: process.version,
    cpus: { count: cpus().length, model: cpu?.model },
    memory: { totalBytes: totalmem(), freeBytes: freemem() },
    load: loadavg(),
    uptimeS: Math.round(uptime()),
    disk: diskSpace(home.paths.dataDir),
  };
}

/** Names, kinds, sizes and modes: of disks their size is told, and nothing of what they hold. */
function listing(dir: string): unknown {
  return entries(dir).map((name) => {
    const stats = lstatSync(join(dir, name), { throwIfNoEntry: false });
    if (stats === undefined) return { name };
    const { size, blocks, mode, uid, mtime } = stats;
    return { name, size, allocatedBytes: blocks * 512, mode: mode.toString(8), uid, mtime };
  });
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return []; // was never made, or is gone: the listing shows it
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    return `(${(error as Error).message})\n`;
  }
}
