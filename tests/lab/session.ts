import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { LAB_MONITOR, LAB_PORTS, type LabMachine, labArgs } from "./machine.ts";
import { askProcessors } from "./monitor.ts";

/** How one boot of the lab ended. */
export type LabEnd =
  /** the command ended with this exit code */
  | { readonly kind: "exit"; readonly code: number }
  /** the lab stood still, or came down under its command */
  | { readonly kind: "stall"; readonly why: string }
  | { readonly kind: "timeout" }
  /** we were told to stop */
  | { readonly kind: "interrupted" };

export interface LabTimes {
  /** until the lab's command began, in ms */
  readonly bootMs: number | undefined;
  /** the longest time in which the lab gave no sign of life, in ms */
  readonly longestSilenceMs: number;
}

export interface LabReport {
  readonly end: LabEnd;
  readonly times: LabTimes;
  /** its console's last lines */
  readonly console: readonly string[];
  /** of a lab that came to no end: what its processors did, as {@link askProcessors} says it */
  readonly processors: readonly string[];
}

export interface SessionOptions {
  readonly machine: LabMachine;
  /** for everything, boot included */
  readonly timeoutMs: number;
  /** ends the session */
  readonly signal: AbortSignal;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}

/** A boot that has not come to its command by then is a stall: alone it takes 4 s. */
const BOOT_STALL_MS = 180_000;
/** The lab beats every second. On a busy host it may be still for half a minute and go on; this long, it does not. */
const SILENCE_STALL_MS = 120_000;
const CONSOLE_TAIL_LINES = 30;

/** Boots a lab, runs its command, streams what that prints, and kills the lab. */
export async function runSession(options: SessionOptions): Promise<LabReport> {
  const { machine } = options;
  const ports = await listen(machine.jobDir);
  // The lab dies with us, whatever kills us.
  const qemu = spawn("setpriv", ["--pdeathsig", "KILL", "qemu-system-x86_64", ...labArgs(machine)], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const console = keepTail(qemu);
  try {
    const watched = watch(qemu, ports, options);
    const end = await watched.end;
    const stuck = end.kind === "stall" || end.kind === "timeout";
    const processors = stuck ? await askProcessors(join(machine.jobDir, LAB_MONITOR), machine.cpus) : [];
    return { end, times: watched.times(), console, processors };
  } finally {
    qemu.kill("SIGKILL");
    if (qemu.exitCode === null && qemu.signalCode === null) await once(qemu, "exit");
    for (const server of Object.values(ports)) server.close();
  }
}

type Ports = Record<(typeof LAB_PORTS)[number], Server>;

async function listen(jobDir: string): Promise<Ports> {
  const entries = LAB_PORTS.map(async (name) => {
    const server = createServer().listen(join(jobDir, name));
    await once(server, "listening");
    return [name, server] as const;
  });
  return Object.fromEntries(await Promise.all(entries)) as Ports;
}

/** Follows a lab to its end: whichever comes first. */
function watch(
  qemu: ChildProcess,
  ports: Ports,
  { timeoutMs, signal, stdout, stderr }: SessionOptions,
): { readonly end: Promise<LabEnd>; readonly times: () => LabTimes } {
  const started = performance.now();
  let bootMs: number | undefined;
  let longestSilenceMs = 0;
  let last = started;
  const end = new Promise<LabEnd>((resolve) => {
    const look = setInterval(() => {
      const silence = performance.now() - last;
      const limit = bootMs === undefined ? BOOT_STALL_MS : SILENCE_STALL_MS;
      if (performance.now() - started > timeoutMs) settle({ kind: "timeout" });
      else if (silence > limit) {
        const where = bootMs === undefined ? "while booting" : "while its command ran";
        settle({ kind: "stall", why: `no sign of life for ${Math.round(silence / 1000)} s ${where}` });
      }
    }, 500);
    const settle = (outcome: LabEnd): void => {
      clearInterval(look);
      resolve(outcome);
    };
    qemu.once("error", (error) => settle({ kind: "stall", why: error.message }));
    qemu.once("exit", (code, killed) =>
      settle({ kind: "stall", why: `the lab's machine ended (${killed ?? `exit code ${code}`})` }),
    );
    signal.addEventListener("abort", () => settle({ kind: "interrupted" }), { once: true });
    ports.control.once("connection", (socket: Socket) => {
      createInterface({ input: socket }).on("line", (line) => {
        if (bootMs === undefined) bootMs = performance.now() - started;
        else longestSilenceMs = Math.max(longestSilenceMs, performance.now() - last);
        last = performance.now();
        const code = /^exit (\d+)$/.exec(line)?.[1];
        // What the command printed was written to the other ports before this line was.
        if (code !== undefined) setTimeout(() => settle({ kind: "exit", code: Number(code) }), 50);
      });
    });
    ports.out.once("connection", (socket: Socket) => socket.pipe(stdout, { end: false }));
    ports.err.once("connection", (socket: Socket) => socket.pipe(stderr, { end: false }));
  });
  return { end, times: () => ({ bootMs, longestSilenceMs }) };
}

/** The last lines of the lab's console and of what QEMU itself says. */
function keepTail(qemu: ChildProcess): string[] {
  const lines: string[] = [];
  for (const stream of [qemu.stdout, qemu.stderr]) {
    createInterface({ input: stream! }).on("line", (line) => {
      lines.push(line.replaceAll("\r", ""));
      if (lines.length > CONSOLE_TAIL_LINES) lines.shift();
    });
  }
  return lines;
}
