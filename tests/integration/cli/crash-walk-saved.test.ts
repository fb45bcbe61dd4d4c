/**
 * The crash walk (crash-walk.test.ts) over what is made of sandboxes: snapshots as differences, as files, taken in, removed, gone on from; what waits in pools;
 * templates. Without SMOLVM_TEST_LONG it is a sample: of each verb the places where something of another kind has just come, or is about to go.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { BACKEND_FEATURES } from "../../../src/backends/features.ts";
import type { BackendName } from "../../../src/config/spec.ts";
import { BACKENDS } from "../../helpers/backends.ts";
import { CHECKOUT, cli } from "../../helpers/cli.ts";
import { processesNaming, useTempHome } from "../../helpers/home.ts";
import { IN_LAB, makeLabTaps, withTap } from "../../helpers/lab-taps.ts";
import { useOwnTemplates } from "../../helpers/own-templates.ts";
import { storeRows } from "../../helpers/store-file.ts";
import { traces } from "../../helpers/traces.ts";
import { until } from "../../helpers/wait.ts";
import { dieAt, done, states } from "../../helpers/walk.ts";

const home = useTempHome();
const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
const snapshots = join(home, "data", "smolvm", "snapshots");
const directory = mkdtempSync(join(tmpdir(), "smolvm-walk-"));
const file = join(directory, "it.tar.zst");

const templates = useOwnTemplates(home);

/** Where each may die. @param sample those that every run goes to */
const places = (sample: readonly string[], others: readonly string[]): readonly string[] =>
  LONG ? [...sample, ...others] : sample;

const { snapshots: CAPTURES, templates: TEMPLATES } = BACKEND_FEATURES[BACKENDS[0] as BackendName];
const NETWORK = IN_LAB ? withTap(BACKENDS[0]!) : ["--network", "off"];
const SMALL = ["--backend", BACKENDS[0]!, ...NETWORK, "--memory", "256M"];

const names = async (): Promise<string[]> =>
  (await done(["snapshot", "ls", "-q"])).text.split("\n").filter(Boolean);
const print = async (name: string): Promise<string> =>
  (await done(["exec", name, "--", "sh", "-c", "cat /root/mine /dev/shm/mine"])).text;
let before: ReturnType<typeof traces>;

/** Nothing is left of what died, once gc has been, and what was there is. */
async function nothingIsLeft(there: readonly string[] = ["it"]): Promise<void> {
  await done(["gc"]);
  expect((await done(["gc"])).text).toBe("Nothing was left behind.\n");
  expect(readdirSync(snapshots).sort()).toEqual([...there].sort());
  expect(await states()).toEqual({ child: "running" });
  expect(traces(home)).toEqual({ ...before, directories: before.directories! + there.length - 1 });
  expect(await print("child")).toBe("mine\nmine\n");
}

beforeAll(() => {
  if (IN_LAB) makeLabTaps();
});

describe.runIf(CAPTURES)("smolvm that is killed over what is saved", () => {
  beforeAll(async () => {
    await done(["create", "--name", "box", "--start", ...SMALL]);
    await done(["exec", "box", "--", "sh", "-c", "echo mine > /root/mine; echo mine > /dev/shm/mine; sync"]);
    await done(["snapshot", "create", "box", "it"]);
    await done(["rm", "-f", "box"]);
    await done(["snapshot", "restore", "--name", "child", "it"]);
    before = traces(home);
  });
  afterAll(async () => {
    await cli(["rm", "--all", "-f"]);
    for (const name of (await names()).reverse()) await cli(["snapshot", "rm", name]);
    rmSync(directory, { recursive: true });
  });

  test.each(
    places(["before difference", "after difference"], ["before snapshot", "after hold", "after capture"]),
  )(
    "while it keeps the difference to another, at '%s', leaves that one removable, and no snapshot",
    async (failpoint) => {
      await dieAt(failpoint, ["snapshot", "create", "child", "second"]);
      expect(await names()).toEqual(["it"]);
      await nothingIsLeft();
      await done(["snapshot", "create", "child", "second"]); // the name is free
      expect((await done(["snapshot", "ls"])).text).toMatch(/^second .* it +/m);
      expect((await cli(["snapshot", "rm", "it"])).stderr).toContain("smolvm snapshot rm second");
      await done(["snapshot", "rm", "second"]);
    },
  );

  test("right after it has made one, has made it", async () => {
    await dieAt("after snapshot", ["snapshot", "create", "child", "second"]);
    await nothingIsLeft(["it", "second"]);
    await done(["snapshot", "restore", "--name", "another", "second"]);
    expect(await print("another")).toBe("mine\nmine\n");
    await done(["rm", "-f", "another"]);
    await done(["snapshot", "rm", "second"]);
  });

  test("over removing one, has removed it", async () => {
    await done(["snapshot", "create", "child", "second"]);
    await dieAt("before removed snapshot", ["snapshot", "rm", "second"]);
    expect(await names()).toEqual(["it"]);
    await nothingIsLeft();
  });

  describe("that is the difference to another", () => {
    beforeAll(async () => void (await done(["snapshot", "create", "child", "second"])));
    afterAll(async () => void (await done(["snapshot", "rm", "second"])));

    test.each(
      places(
        ["before created", "before vmm"],
        ["after create:files", "after start:launch", "after start:identity", "before running"],
      ),
    )(
      "while it goes on from one, at '%s', leaves of the new one nothing but what can be removed",
      async (failpoint) => {
        await dieAt(failpoint, ["snapshot", "restore", "--name", "another", "second"]);
        const { another, ...others } = await states();
        expect(others).toEqual({ child: "running" });
        expect([undefined, "error"]).toContain(another);
        await cli(["rm", "-f", "another"]);
        await nothingIsLeft(["it", "second"]);
      },
    );

    test.each(places(["before exported"], ["while exporting"]))(
      "while it writes one into a file, at '%s'",
      async (failpoint) => {
        await dieAt(failpoint, ["snapshot", "export", "second", file]);
        expect(existsSync(file)).toBe(false);
        await nothingIsLeft(["it", "second"]);
        await done(["snapshot", "export", "second", file]);
        expect(readdirSync(directory)).toEqual(["it.tar.zst"]); // also what the one that died had written
        rmSync(file);
      },
    );
  });

  test.each(places(["while importing", "after snapshot"], ["before snapshot"]))(
    "while it takes one in, at '%s'",
    async (failpoint) => {
      await done(["snapshot", "export", "it", file]);
      await dieAt(failpoint, ["snapshot", "import", "--trust", "--name", "taken", file]);
      const isThere = failpoint === "after snapshot";
      expect(await names()).toEqual(isThere ? ["it", "taken"] : ["it"]);
      await nothingIsLeft(isThere ? ["it", "taken"] : ["it"]);
      if (!isThere) await done(["snapshot", "import", "--trust", "--name", "taken", file]);
      await done(["snapshot", "restore", "--name", "another", "taken"]);
      expect(await print("another")).toBe("mine\nmine\n");
      await done(["rm", "-f", "another"]);
      await done(["snapshot", "rm", "taken"]);
      rmSync(file);
    },
  );
});

describe("smolvm that is killed over a pool", () => {
  const SUPERVISOR = join(CHECKOUT, "src/supervisor/main.ts");
  /** The process in the background; undefined: there is none. */
  function supervisor(): number | undefined {
    const [row] = storeRows(home, "SELECT holder FROM supervisor");
    return row && (JSON.parse(String(row.holder)) as { pid: number }).pid;
  }
  let first: ChildProcess | undefined;
  afterEach(async () => {
    first?.kill("SIGKILL"); // it is gone, unless the test failed; nor is there a pool then
    await cli(["pool", "rm", "it"]);
  });
  const isFull = async (): Promise<boolean> => /^it +1\/1 /m.test((await done(["pool", "ls"])).text);

  test.each(
    places(
      ["before vmm", "before ready"],
      ["after create:files", "before created", "after start:launch", "before running"],
    ),
  )("in the background, while it fills one, at '%s', is followed by one that goes on", async (failpoint) => {
    await cli(["supervisor", "stop"]);
    // The command line gives no such place to what it starts in the background.
    // It does not go, whatever time the pool's command takes until it has something for it to do.
    first = spawn(process.execPath, [SUPERVISOR, "--stay"], {
      stdio: "ignore",
      env: { ...process.env, SMOLVM_FAILPOINT: failpoint },
    });
    const died = once(first, "exit");
    await until("it is there", () => supervisor() === first?.pid);
    await done(["pool", "create", "--name", "it", "--size", "1", ...SMALL]);
    expect(await died).toEqual([null, "SIGKILL"]);
    await until("it is full", isFull); // any command finds that it is missing
    expect((await done(["run", "--pool", "it", "--", "echo", "hi"])).text).toBe("hi\n");
    await poolIsRemoved();
  });

  test("over the one that it has taken, is followed by nobody who has it", async () => {
    await done(["pool", "create", "--name", "it", "--size", "1", ...SMALL]);
    await until("it is full", isFull);
    const [waiting] = waitingIds();
    await dieAt("after taken", ["run", "--pool", "it", "--", "true"]);
    await until("it is full again", isFull);
    expect(waitingIds()).not.toContain(waiting);
    await done(["gc"]);
    expect(processesNaming(waiting!)).toEqual([]);
    await poolIsRemoved();
  });

  const waitingIds = (): string[] =>
    storeRows(home, "SELECT id FROM vms WHERE pool = 'it'").map(({ id }) => String(id));

  async function poolIsRemoved(): Promise<void> {
    await done(["pool", "rm", "it"]);
    await cli(["supervisor", "stop"]);
    await done(["gc"]);
    expect((await done(["gc"])).text).toBe("Nothing was left behind.\n");
    expect(await states()).toEqual({});
    expect(traces(home)).toMatchObject({
      directories: 0,
      sockets: 0,
      processes: 0,
      cgroups: 0,
      uids: 0,
      taps: 0,
    });
  }
});

describe.runIf(TEMPLATES)("smolvm that is killed over a template", () => {
  const made = (): string[] => readdirSync(templates).filter((name) => /^[0-9a-f]{32}$/.test(name));
  test.each(
    places(
      ["before vmm", "before template"],
      ["after create:files", "before created", "after start:launch", "before running"],
    ),
  )("at '%s', leaves none, and the next one is made", async (failpoint) => {
    await dieAt(failpoint, ["image", "warm", ...SMALL]);
    expect(made()).toEqual([]);
    await done(["gc"]);
    expect((await done(["gc"])).text).toBe("Nothing was left behind.\n");
    expect(readdirSync(join(templates, "work"))).toEqual([]);
    expect(readdirSync(join(templates, "home", "vms"))).toEqual([]);
    expect(processesNaming(templates)).toEqual([]);
    await done(["image", "warm", ...SMALL]);
    expect(made().length).toBe(1);
    rmSync(join(templates, made()[0]!), { recursive: true });
    expect(traces(home)).toMatchObject({ processes: 0, sockets: 0, cgroups: 0, uids: 0, taps: 0 });
  });
});
