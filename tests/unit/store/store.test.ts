import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MachineSpec, VmSpec } from "../../../src/config/spec.ts";
import { identify } from "../../../src/host/process/process-identity.ts";
import { openStore, type Store } from "../../../src/store/store.ts";
import type { ListFilter } from "../../../src/store/vms.ts";

let directory: string;
let store: Store;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-store-"));
  store = openStore(directory);
});
afterEach(() => {
  store.close();
  rmSync(directory, { recursive: true });
});

const spec = { image: "debian" } as VmSpec;
const dead = { pid: 2 ** 22 - 1, startTime: "1", bootId: "an earlier boot" };
const vmm = { ...dead, monitor: dead };

function add(name: string, id: string = name): void {
  store.vms.insert({ id, name, spec, labels: {}, owner: undefined, expiresAt: undefined }, "create:files");
  store.vms.complete(id);
}

describe("sandboxes", () => {
  test("are found by name and by id", () => {
    add("box", "0123456789ab");
    expect(store.vms.get("box").id).toBe("0123456789ab");
    expect(store.vms.get("0123456789ab").name).toBe("box");
    expect(() => store.vms.get("bix")).toThrow("there is no sandbox 'bix'");
  });

  test("tell what a command asks of them as it is now, whoever changed it", () => {
    add("box", "1");
    add("other", "2");
    const env = (id: string) => store.vms.findForCommand(id)?.spec.env;
    expect(store.vms.findForCommand("1")).toEqual({ name: "box", state: "created", spec });
    store.vms.changeSpec("1", (old) => ({ ...old, env: { A: "1" } }));
    expect([env("1"), env("2"), env("1")]).toEqual([{ A: "1" }, spec.env, { A: "1" }]);
    store.vms.transition("1", "starting");
    expect(store.vms.findForCommand("1")?.state).toBe("starting");
    expect(store.vms.findForCommand("box")).toBeUndefined(); // an id alone
  });

  test("never share a name", () => {
    add("box", "1");
    expect(() => add("box", "2")).toThrow(expect.objectContaining({ code: "VM_NAME_TAKEN" }));
    expect(store.vms.list()).toHaveLength(1);
  });

  test("change state only as the table of transitions says", () => {
    add("box");
    expect(() => store.vms.transition("box", "running")).toThrow(
      expect.objectContaining({ code: "VM_STATE" }),
    );
    store.vms.transition("box", "starting");
    const running = store.vms.transition("box", "running", { startedAt: 5, vmm });
    expect(running).toMatchObject({ state: "running", startedAt: 5, vmm });
    expect(store.vms.transition("box", "stopped", { vmm: null }).vmm).toBeUndefined();
  });

  test("have their spec changed whole or not at all", () => {
    add("box");
    expect(store.vms.changeSpec("box", (old) => ({ ...old, env: { A: "1" } })).spec).toEqual({
      image: "debian",
      env: { A: "1" },
    });
    expect(() =>
      store.vms.changeSpec("box", () => {
        throw new Error("no");
      }),
    ).toThrow("no");
    expect(store.vms.get("box").spec.env).toEqual({ A: "1" });
    expect(() => store.vms.changeSpec("bix", (old) => old)).toThrow("there is no sandbox 'bix'");
  });

  test("are listed by state and labels, whatever characters these have", () => {
    const labelled = { 'a"b': "it's", "x.y": "1" };
    add("plain", "1");
    store.vms.insert(
      { id: "2", name: "labelled", spec, labels: labelled, owner: undefined, expiresAt: undefined },
      "create:files",
    );
    store.vms.transition("2", "starting");
    const names = (filter: ListFilter): string[][] => [
      store.vms.list(filter).map(({ name }) => name),
      store.vms.listBriefly(filter).map(({ name }) => name),
    ];
    const found = (...expected: string[]): string[][] => [expected, expected];
    expect(names({})).toEqual(found("plain", "labelled"));
    expect(names({ state: "starting" })).toEqual(found("labelled"));
    expect(names({ labels: { 'a"b': "it's" } })).toEqual(found("labelled"));
    expect(names({ labels: labelled, state: "starting" })).toEqual(found("labelled"));
    expect(names({ labels: labelled, state: "created" })).toEqual(found());
    expect(names({ labels: { "x.y": "2" } })).toEqual(found());
    expect(names({ labels: { x: "1" } })).toEqual(found());
  });

  test("show in a listing what their spec says, also after it changed", () => {
    const machine = { backend: "qemu", memSizeMib: 256 } as MachineSpec;
    store.vms.insert(
      {
        id: "1",
        name: "box",
        spec: { ...spec, machine } as VmSpec,
        labels: {},
        owner: undefined,
        expiresAt: undefined,
      },
      "create:files",
    );
    const shown = { id: "1", name: "box", state: "created", startedAt: null, backend: "qemu" };
    expect(store.vms.listBriefly({})).toEqual([{ ...shown, image: "debian", memSizeMib: 256 }]);
    store.vms.changeSpec("1", (old) => ({
      ...old,
      image: "other",
      machine: { ...machine, memSizeMib: 512 },
    }));
    expect(store.vms.listBriefly({})).toEqual([{ ...shown, image: "other", memSizeMib: 512 }]);
  });

  test("are unsettled while something is under way, with an owner, or when their time is over", () => {
    const owner = identify(process.pid);
    add("still", "1");
    store.vms.insert(
      { id: "2", name: "half", spec, labels: {}, owner: undefined, expiresAt: undefined },
      "create:files",
    );
    for (const [id, more] of [
      ["3", { owner, expiresAt: undefined }],
      ["4", { owner: undefined, expiresAt: 100 }],
    ] as const) {
      store.vms.insert({ id, name: id, spec, labels: {}, ...more }, "create:files");
      store.vms.complete(id);
    }
    add("starts", "5");
    store.vms.transition("5", "starting");
    const ids = (now: number): string[] =>
      store.vms
        .unsettled(now)
        .map(({ id }) => id)
        .sort();
    expect(ids(99)).toEqual(["2", "3", "5"]);
    expect(ids(100)).toEqual(["2", "3", "4", "5"]);
  });

  test("are locked by one living process; a dead one's lock is taken over", () => {
    add("box");
    expect(store.vms.tryLock("box")).toBeUndefined();
    expect(store.vms.tryLock("box")).toEqual(identify(process.pid));
    store.vms.unlock("box");
    new DatabaseSync(join(directory, "store.db"))
      .prepare("UPDATE vms SET lock = ?")
      .run(JSON.stringify(dead));
    expect(store.vms.tryLock("box")).toBeUndefined();
  });
});

describe("session ports", () => {
  const acquire = (ticket: number, ports = 2) => store.leases.tryAcquire("box", ticket, ports);
  beforeEach(() => add("box"));

  test("are each leased once and can be had again after their release", () => {
    expect(acquire(store.leases.enqueue("box"))).toEqual({ port: 1, takenOver: false });
    expect(acquire(store.leases.enqueue("box"))).toEqual({ port: 2, takenOver: false });
    const third = store.leases.enqueue("box");
    expect(acquire(third)).toBeUndefined();
    expect(store.leases.hasWaiters("box")).toBe(true);
    store.leases.release("box", 1);
    expect(acquire(third)).toEqual({ port: 1, takenOver: false });
    expect(store.leases.hasWaiters("box")).toBe(false);
  });

  test("go to those who wait in the order in which they came", () => {
    acquire(store.leases.enqueue("box"), 1);
    const first = store.leases.enqueue("box");
    const second = store.leases.enqueue("box");
    store.leases.release("box", 1);
    expect(acquire(second, 1)).toBeUndefined();
    expect(acquire(first, 1)).toMatchObject({ port: 1 });
  });

  test("are had without queueing where one is free, but not before those who wait", () => {
    const atOnce = () => store.leases.tryAcquire("box", undefined, 2);
    expect(atOnce()).toEqual({ port: 1, takenOver: false });
    const waiter = store.leases.enqueue("box");
    expect(atOnce()).toBeUndefined(); // the last one is the waiter's
    expect(acquire(waiter)).toEqual({ port: 2, takenOver: false });
    store.leases.release("box", 1);
    expect(atOnce()).toEqual({ port: 1, takenOver: false });
    expect(store.leases.hasWaiters("box")).toBe(false);
  });

  test("of a dead process are taken over, and a dead waiter is passed over", () => {
    acquire(store.leases.enqueue("box"), 1);
    store.leases.enqueue("box");
    const database = new DatabaseSync(join(directory, "store.db"));
    database.exec(`UPDATE channel_leases SET holder = '${JSON.stringify(dead)}'`);
    database.exec(`UPDATE channel_waiters SET holder = '${JSON.stringify(dead)}'`);
    expect(acquire(store.leases.enqueue("box"), 1)).toEqual({ port: 1, takenOver: true });
  });

  test("that another process has by now are not taken from it by a late release", () => {
    acquire(store.leases.enqueue("box"), 1);
    const database = new DatabaseSync(join(directory, "store.db"));
    database.exec(`UPDATE channel_leases SET holder = '${JSON.stringify(identify(1))}'`);
    store.leases.release("box", 1);
    expect(store.leases.holders("box")).toEqual([1]);
  });
});

describe("taps", () => {
  const start = (name: string): void => void store.vms.transition(name, "starting");
  beforeEach(() => {
    for (const name of ["one", "two"]) {
      add(name);
      start(name);
    }
  });

  test("are each one sandbox's, in the order of preference", () => {
    expect(store.taps.lease("one", ["smolvm1", "smolvm0"])).toBe("smolvm1");
    expect(store.taps.lease("two", ["smolvm1", "smolvm0"])).toBe("smolvm0");
    expect([...store.taps.byVm()].sort()).toEqual([
      ["one", "smolvm1"],
      ["two", "smolvm0"],
    ]);
    add("three");
    expect(store.taps.lease("three", ["smolvm1", "smolvm0"])).toBeUndefined();
  });

  test("of two processes at once are never the same", async () => {
    const other = openStore(directory);
    expect(store.taps.lease("one", ["smolvm0"])).toBe("smolvm0");
    expect(other.taps.lease("two", ["smolvm0"])).toBeUndefined();
    other.close();
  });

  test.each(["stopped", "error"] as const)("are free again when their machine is %s", (state) => {
    store.taps.lease("one", ["smolvm0"]);
    store.vms.transition("one", "running", { vmm });
    expect(store.taps.byVm().get("one")).toBe("smolvm0");
    store.vms.transition("one", state);
    expect(store.taps.byVm().size).toBe(0);
    expect(store.taps.lease("two", ["smolvm0"])).toBe("smolvm0");
  });

  test("stay with a sandbox that is being removed until it is gone", () => {
    store.taps.lease("one", ["smolvm0"]);
    store.vms.transition("one", "deleting");
    expect(store.taps.lease("two", ["smolvm0"])).toBeUndefined();
    store.vms.remove("one");
    expect(store.taps.lease("two", ["smolvm0"])).toBe("smolvm0");
  });
});

describe("forwarded ports", () => {
  const web = { guestPort: 80, hostAddress: "127.0.0.1", hostPort: 8080 };
  beforeEach(() => add("box"));

  test("are told as long as they are open, and go with their sandbox", () => {
    const row = store.ports.add("box", web);
    store.ports.add("box", { ...web, hostPort: 8081 });
    expect(store.ports.of("box")).toEqual([web, { ...web, hostPort: 8081 }]);
    store.ports.remove(row);
    expect(store.ports.of("box")).toEqual([{ ...web, hostPort: 8081 }]);
    store.vms.remove("box");
    expect(store.ports.of("box")).toEqual([]);
  });

  test("of a process that is gone are not told, and can be forgotten", () => {
    store.ports.add("box", web);
    new DatabaseSync(join(directory, "store.db")).exec(`UPDATE ports SET holder = '${JSON.stringify(dead)}'`);
    expect(store.ports.of("box")).toEqual([]);
    expect(store.ports.prune()).toBe(1);
    expect(store.ports.prune()).toBe(0);
  });
});

describe("the store's file", () => {
  test("that a newer version wrote is refused and left as it is", () => {
    new DatabaseSync(join(directory, "store.db")).exec("PRAGMA user_version = 999");
    expect(() => openStore(directory)).toThrow(expect.objectContaining({ code: "STORE_INVALID" }));
    const version = new DatabaseSync(join(directory, "store.db")).prepare("PRAGMA user_version").get();
    expect(version).toEqual({ user_version: 999 });
  });

  test("that is damaged is refused and left as it is", () => {
    const other = mkdtempSync(join(tmpdir(), "smolvm-store-"));
    const garbage = "this is no database, ".repeat(100);
    writeFileSync(join(other, "store.db"), garbage);
    expect(() => openStore(other)).toThrow(expect.objectContaining({ code: "STORE_INVALID" }));
    expect(readFileSync(join(other, "store.db"), "utf8")).toBe(garbage);
    rmSync(other, { recursive: true });
  });
});

describe("the supervisor's duties", () => {
  const forward = (hostPort?: number) => ({ guestPort: 80, hostAddress: "127.0.0.1", hostPort });

  test("a port of the host is forwarded into one sandbox only, and all that was asked for with it is undone", () => {
    add("one");
    add("two");
    store.forwards.add("one", [forward(8080)]);
    expect(() => store.forwards.add("two", [forward(), forward(8080)])).toThrow(
      expect.objectContaining({ code: "PORT_IN_USE" }),
    );
    expect(store.forwards.all().map(({ vmId }) => vmId)).toEqual(["one"]);
    store.vms.remove("one");
    expect(store.forwards.all()).toEqual([]);
    expect(store.forwards.add("two", [forward(8080)])).toHaveLength(1);
  });

  test("the port that was chosen is remembered", () => {
    add("one");
    const [added] = store.forwards.add("one", [forward()]);
    store.forwards.chosen(added!.id, 40_000);
    expect(store.forwards.of("one")).toMatchObject([{ hostPort: undefined, chosenPort: 40_000 }]);
  });

  test("are those of running sandboxes with forwards, and of detached ones with an end", () => {
    add("one");
    store.forwards.add("one", [forward()]);
    expect(store.supervisor.isNeeded()).toBe(false);
    store.vms.transition("one", "starting");
    store.vms.transition("one", "running", { vmm });
    expect(store.supervisor.isNeeded()).toBe(true);
    store.vms.remove("one");
    expect(store.supervisor.isNeeded()).toBe(false);
    store.vms.insert(
      { id: "brief", name: "brief", spec, labels: {}, owner: undefined, expiresAt: 5 },
      "create:files",
    );
    expect(store.supervisor.isNeeded()).toBe(true);
  });

  test("there is one supervisor, until it goes or dies", () => {
    expect(store.supervisor.tryTake("1.0.0")).toBe(true);
    expect(store.supervisor.tryTake("2.0.0")).toBe(false);
    expect(store.supervisor.current()).toMatchObject({ process: { pid: process.pid }, version: "1.0.0" });
    store.supervisor.release();
    expect(store.supervisor.current()).toBeUndefined();
    expect(store.supervisor.tryTake("2.0.0")).toBe(true);
    const other = new DatabaseSync(join(directory, "store.db"));
    other.prepare("UPDATE supervisor SET holder = ?").run(JSON.stringify(dead));
    other.close();
    expect(store.supervisor.current()).toBeUndefined();
  });

  test("port 0 of a sandbox has one holder", () => {
    add("one");
    expect(store.leases.takeControl("one")).toBeUndefined();
    expect(store.leases.controlHolder("one")).toMatchObject({ pid: process.pid });
    expect(store.leases.holders("one")).toEqual([]); // not one that commands wait for
    store.leases.release("one", 0);
    expect(store.leases.controlHolder("one")).toBeUndefined();
  });
});

describe("uids", () => {
  const range = { first: 100, count: 2 };
  beforeEach(() => {
    for (const name of ["one", "two", "three"]) add(name);
  });

  test("are each one sandbox's, which keeps its own as long as it exists", () => {
    expect(store.uids.lease("one", range)).toBe(100);
    expect(store.uids.lease("two", range)).toBe(101);
    expect(store.uids.lease("one", range)).toBe(100);
    expect(store.uids.lease("three", range)).toBeUndefined();
    store.vms.remove("one");
    expect(store.uids.lease("three", range)).toBe(100);
  });

  test("outside the home's range are not kept: they may be another home's by now", () => {
    expect(store.uids.lease("one", range)).toBe(100);
    expect(store.uids.lease("one", { first: 500, count: 2 })).toBe(500);
    expect(store.uids.of("one")).toBe(500);
  });

  test("of two processes at once are never the same", () => {
    const other = openStore(directory);
    expect(store.uids.lease("one", range)).toBe(100);
    expect(other.uids.lease("two", range)).toBe(101);
    other.close();
  });
});
