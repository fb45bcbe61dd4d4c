import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HELLO_TIMEOUT_MS } from "../../src/config/defaults.ts";
import { isSmolVMError, SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { type Keys, openKeys, type Times, useBeside } from "../helpers/beside.ts";
import { useTempHome } from "../helpers/home.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";
import { ATTACKS, LOADS, type Load, threadCount } from "./hostile-loads.ts";

useTempHome();

/** Every command and file call beside a load is done within this, in ms. */
const DEADLINE_MS = scaled(10_000);

describe.each(BACKENDS)("a hostile command on %s", (backend) => {
  let shared: SmolVM;
  beforeAll(async () => {
    shared = await SmolVM.create(small(backend));
  });
  afterAll(() => shared.delete({ force: true }));

  test.each(LOADS.map((load) => [load.name, load] as const))("%s", async (_, load) => {
    const vm = load.own === undefined ? shared : await SmolVM.create(small(backend, load.own));
    try {
      await survives(vm, load);
    } finally {
      if (vm !== shared) await vm.delete({ force: true });
    }
  });
});

describe.each(BACKENDS)("an attack on PID 1 on %s", (backend) => {
  const attack = async (vm: SmolVM, command: string, user?: string): Promise<string> => {
    const { id } = await vm.spawn(command, { detached: true, user }).started;
    let said = "";
    const reading = (async () => {
      for await (const { data } of vm.processes.attach(id)) said += Buffer.from(data).toString();
    })().catch(() => {}); // nobody answers any more: that is what is looked at
    await Promise.race([
      reading,
      until("it has acted", () => /done|refused/.test(said), 20_000).catch(() => {}),
    ]);
    return said;
  };

  test.each(ATTACKS)("is refused to a user: $name", async ({ command }) => {
    await using vm = await SmolVM.create(small(backend));
    expect(await attack(vm, command, "nobody")).toBe("refused\n");
    expect(await vm.run("echo hi", { timeoutMs: DEADLINE_MS })).toMatchObject({ stdout: "hi\n" });
  });

  test.each(ATTACKS)(
    "of root ends in errors within their limits, and stop and rm: $name",
    async ({ command }) => {
      const vm = await SmolVM.create(small(backend));
      try {
        expect(await attack(vm, command)).not.toContain("refused");
        const timeoutMs = 2_000;
        // It tells before its last step, because afterwards nobody would hear it.
        const answers = () =>
          vm.run("true", { timeoutMs }).then(
            () => true,
            () => false,
          );
        await until("it has acted", async () => !(await answers()));
        const asked: [string, () => Promise<unknown>][] = [
          ["run", () => vm.run("echo hi", { timeoutMs })],
          ["files", () => vm.files.readText("/etc/passwd", { timeoutMs })],
          ["processes", () => vm.processes.list({ timeoutMs })],
        ];
        for (const [what, ask] of asked) {
          const start = performance.now();
          const error = await ask().catch((reason: unknown) => reason);
          const took = performance.now() - start;
          console.log(
            `${what}: ${isSmolVMError(error) ? error.code : String(error)} after ${took.toFixed(0)} ms`,
          );
          expect(isSmolVMError(error)).toBe(true);
          // Where the session was lost the next one is made first, which has a limit of its own.
          expect(took).toBeLessThan(timeoutMs + HELLO_TIMEOUT_MS + DEADLINE_MS);
        }
        const start = performance.now();
        await vm.stop();
        console.log(`stop: ${(performance.now() - start).toFixed(0)} ms`);
        // Where the guest itself has ended, that stays known.
        expect((await vm.info()).state).toMatch(/^(stopped|error)$/);
        await vm.start();
        expect(await vm.run("echo hi")).toMatchObject({ stdout: "hi\n" });
        await attack(vm, command);
      } finally {
        await vm.delete({ force: true });
      }
    },
  );
});

/** Beside the load the sandbox does what it is asked; the load is killed when its time is over, and nothing of it is left. */
async function survives(vm: SmolVM, load: Load): Promise<void> {
  const before = await threadCount(vm);
  const keys = await openKeys(vm);
  const idle = await useBeside(vm, keys, DEADLINE_MS);
  const end = new AbortController();
  let isLoaded = false;
  let over = false;
  const running = vm.run(load.command, {
    signal: end.signal,
    user: load.user,
    limits: load.pids === undefined ? undefined : { pids: load.pids },
    onStdout: (chunk) => {
      isLoaded ||= Buffer.from(chunk).includes("loaded");
    },
  });
  const ended = running.finally(() => {
    over = true;
  });
  ended.catch(() => {}); // looked at below
  try {
    await until("the load does its worst", async () => isLoaded || over || load.inForce?.(vm));
    expect(over, "the load goes on").toBe(false);
    const times: Times[] = [];
    const pressed: Keys | undefined = load.hitsOthers === true ? undefined : keys;
    for (let round = 0; round < 3; round++) times.push(await useBeside(vm, pressed, DEADLINE_MS));
    expect(over, "the load still goes on").toBe(false);
    report(load.name, idle, times);
  } finally {
    end.abort();
  }
  await expect(ended).rejects.toMatchObject({ code: "RUN_ABORTED", details: { killed: "confirmed" } });
  if (load.hitsOthers !== true) await keys.press();
  await keys.close();
  if (load.hidesProc === true) return;
  await until("nothing of it is left", async () => (await threadCount(vm)) <= before + 2);
}

function report(name: string, idle: Times, times: readonly Times[]): void {
  const line = (["command", "file", "key"] as const).map((what) => {
    const beside = times.map((t) => t[what] ?? 0).sort((a, b) => a - b);
    return `${what} ${idle[what]?.toFixed(0)} -> ${beside.map((ms) => ms.toFixed(0)).join(" ")}`;
  });
  console.log(`${name}: ${line.join(", ")} ms`);
}
