import type { SmolVM } from "../../src/index.ts";
import { until } from "./wait.ts";

/** How long each of what a user does beside a load took, in ms. */
export interface Times {
  readonly command: number;
  readonly file: number;
  /** undefined where there is no terminal */
  readonly key: number | undefined;
}

/** A terminal of a sandbox that answers each line. */
export interface Keys {
  press(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a terminal that echoes what is typed; resolves when it does. */
export async function openKeys(vm: SmolVM): Promise<Keys> {
  const line = 'stty -echo; echo ready; while IFS= read -r line; do echo "got $line"; done';
  const terminal = vm.spawn(line, { pty: { cols: 80, rows: 24 } });
  let shown = "";
  const reading = (async () => {
    for await (const { data } of terminal) shown = (shown + Buffer.from(data).toString()).slice(-200);
  })().catch(() => {}); // killed: whoever presses a key notices
  await until("the terminal is ready", () => shown.includes("ready"));
  let pressed = 0;
  return {
    async press() {
      const key = `key-${++pressed}`;
      terminal.stdin.write(`${key}\n`);
      await until(`the terminal has answered ${key}`, () => shown.includes(`got ${key}`));
    },
    async close() {
      await terminal.kill("SIGKILL");
      await reading;
    },
  };
}

/** What a user does beside a load: a command, a file, a key; each within `timeoutMs`. */
export async function useBeside(vm: SmolVM, keys: Keys | undefined, timeoutMs: number): Promise<Times> {
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const start = performance.now();
    await work();
    return performance.now() - start;
  };
  return {
    command: await timed(() => vm.run("echo hi", { timeoutMs, check: true })),
    file: await timed(() => vm.files.readText("/etc/passwd", { timeoutMs })),
    key: keys === undefined ? undefined : await timed(() => keys.press()),
  };
}
