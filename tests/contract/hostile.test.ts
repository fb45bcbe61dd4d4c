import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { type Keys, openKeys, type Times, useBeside } from "../helpers/beside.ts";
import { useTempHome } from "../helpers/home.ts";
import { scaled } from "../helpers/speed.ts";
import { until } from "../helpers/wait.ts";
import { LOADS, type Load, threadCount } from "./hostile-loads.ts";

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
