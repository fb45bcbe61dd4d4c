import {
  closeSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { describe, expect, test } from "vitest";
import type { FileEvent } from "../../../src/agent/files/file-event.ts";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import type { FileWatch } from "../../../src/agent/files/watch.ts";
import { runCommand } from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import {
  type FileEvent as FileEventMessage,
  FileEvent as FileEventSchema,
} from "../../../src/agent/wire/messages.ts";
import { encodeRecord } from "../../../src/agent/wire/records.ts";
import { type Draft, encode } from "../../../src/agent/wire/schema.ts";
import { FakeGuest, type FakeStream } from "../../fakes/fake-guest.ts";
import { agentMissing, type LocalAgent, useAgent } from "../../helpers/agent.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

/** "created d/" for a directory, "renamed a -> b", "overflow". */
function say({ kind, path, from, directory }: FileEvent): string {
  const slash = directory ? "/" : "";
  if (kind === "overflow") return kind;
  return `${kind} ${from === undefined ? "" : `${from}${slash} -> `}${path}${slash}`;
}

/** Events up to the one that says `last`. One write may be several changes: those that follow each other count once. */
async function through(watch: FileWatch, last: string): Promise<string[]> {
  const said: string[] = [];
  for (;;) {
    const { value, done } = await watch.next();
    if (done) throw new Error(`the watch ended after ${JSON.stringify(said)}`);
    const words = say(value);
    if (said.at(-1) !== words) said.push(words);
    if (words === last) return said;
  }
}

/** Makes and removes files: more events than the kernel's queue (16,384), all pipes and windows hold. */
function flood(at: string): void {
  const name = "x".repeat(200);
  for (let n = 0; n < 15_000; n++) {
    closeSync(openSync(`${at}/${name}${n}`, "w"));
    rmSync(`${at}/${name}${n}`);
  }
}

describe.skipIf(missing)("watching files in the guest", () => {
  let agent: LocalAgent;
  let session: AgentSession;
  let files: GuestFiles;
  const directory = useAgent((guest) => {
    ({ agent, session, files } = guest);
  });

  test("tells what is created, changed, renamed and removed in a directory", async () => {
    const at = directory();
    mkdirSync(`${at}/sub`);
    await using watch = await files.watch(at);
    writeFileSync(`${at}/a`, "1");
    utimesSync(`${at}/a`, 5, 5);
    writeFileSync(`${at}/sub/unseen`, "1");
    renameSync(`${at}/a`, `${at}/b`);
    renameSync(`${at}/b`, `${at}/sub/b`); // to where nobody looks
    renameSync(`${at}/sub/b`, `${at}/c`); // and back
    mkdirSync(`${at}/d`);
    rmSync(`${at}/c`);
    rmSync(`${at}/d`, { recursive: true });
    expect(await through(watch, "removed d/")).toEqual([
      ...["created a", "changed a", "renamed a -> b", "removed b", "created c", "created d/", "removed c"],
      "removed d/",
    ]);
    watch.close();
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  test("recursive sees everything below, also in directories that appear, move and go", async () => {
    const at = directory();
    const outside = directory();
    mkdirSync(`${at}/old/deep`, { recursive: true });
    mkdirSync(`${outside}/tree/inner`, { recursive: true });
    writeFileSync(`${outside}/tree/inner/leaf`, "1");
    symlinkSync(outside, `${at}/link`); // not followed
    await using watch = await files.watch(at, { recursive: true });
    writeFileSync(`${at}/old/deep/f`, "1");
    writeFileSync(`${outside}/unseen`, "1");
    expect(await through(watch, "changed old/deep/f")).toEqual(["created old/deep/f", "changed old/deep/f"]);

    renameSync(`${at}/old`, `${at}/new`);
    writeFileSync(`${at}/new/deep/g`, "1");
    expect(await through(watch, "changed new/deep/g")).toEqual([
      ...["renamed old/ -> new/", "created new/deep/g", "changed new/deep/g"],
    ]);

    renameSync(`${outside}/tree`, `${at}/tree`); // what is in it has no events of its own
    expect((await through(watch, "created tree/inner/leaf")).sort()).toEqual([
      ...["created tree/", "created tree/inner/", "created tree/inner/leaf"],
    ]);
    writeFileSync(`${at}/tree/inner/leaf`, "2");
    expect(await through(watch, "changed tree/inner/leaf")).toEqual(["changed tree/inner/leaf"]);

    renameSync(`${at}/tree`, `${outside}/tree`);
    await through(watch, "removed tree/");
    writeFileSync(`${outside}/tree/inner/leaf`, "3"); // nobody's any more
    mkdirSync(`${at}/tree`);
    expect(await through(watch, "created tree/")).toEqual(["created tree/"]);
  });

  test("recursive misses no file of a tree that is made as fast as can be, and tells each once", async () => {
    const at = directory();
    await using watch = await files.watch(at, { recursive: true });
    const line =
      "for i in 1 2 3 4 5 6 7 8; do mkdir -p a$i/b/c; echo > a$i/f; echo > a$i/b/c/f; done; echo > end";
    await runCommand(session, line, { cwd: at });
    const created = (await through(watch, "created end")).filter((said) => said.startsWith("created"));
    const wanted = [1, 2, 3, 4, 5, 6, 7, 8].flatMap((i) =>
      ["/", "/b/", "/b/c/", "/f", "/b/c/f"].map((name) => `created a${i}${name}`),
    );
    expect(created.slice(0, -1).sort()).toEqual(wanted.sort());
  });

  test("of a file tells what happens at its path, however it is replaced", async () => {
    const at = directory();
    writeFileSync(`${at}/conf`, "1");
    symlinkSync("conf", `${at}/alias`);
    await using watch = await files.watch(`${at}/alias`);
    writeFileSync(`${at}/other`, "1");
    writeFileSync(`${at}/conf`, "2");
    renameSync(`${at}/other`, `${at}/conf`);
    rmSync(`${at}/conf`);
    writeFileSync(`${at}/conf`, "3");
    expect(await through(watch, "removed ")).toEqual(["changed ", "created ", "removed "]);
    expect(await through(watch, "changed ")).toEqual(["created ", "changed "]);
  });

  test("tells of a file that we write once, and never of what it is written to first", async () => {
    const at = directory();
    mkdirSync(`${at}/conf`);
    await using watch = await files.watch(at, { recursive: true });
    await files.write(`${at}/conf/new`, "1");
    await using single = await files.watch(`${at}/conf/new`);
    await files.write(`${at}/conf/new`, "22", { mode: 0o600 });
    await files.write(`${at}/conf/new`, "3", { append: true });
    await expect(
      files.write(
        `${at}/conf/new`,
        (async function* () {
          yield "x";
          throw new Error("it breaks");
        })(),
      ),
    ).rejects.toThrow();
    writeFileSync(`${at}/end`, "");
    expect(await through(watch, "created end")).toEqual([
      ...["created conf/new", "changed conf/new", "created end"],
    ]);
    rmSync(`${at}/conf/new`);
    expect(await through(single, "removed ")).toEqual(["changed ", "removed "]);
    await files.write(`${at}/conf/new`, "4");
    expect(await through(single, "created ")).toEqual(["created "]);
  });

  test("tells of each file of a directory that we upload once", async () => {
    const at = directory();
    const source = directory();
    mkdirSync(`${source}/sub`);
    for (const name of ["a", "b", "sub/c"]) writeFileSync(`${source}/${name}`, "1");
    symlinkSync("a", `${source}/link`);
    await using watch = await files.watch(at, { recursive: true });
    const told = async (end: string): Promise<string[]> => {
      writeFileSync(`${at}/${end}`, "");
      // Of directories the mode and time are set when all is in them.
      return (await through(watch, `created ${end}`)).filter((said) => !/^changed .*\/$/.test(said));
    };
    await files.upload(source, `${at}/to`);
    const names = ["to/", "to/a", "to/b", "to/link", "to/sub/", "to/sub/c"];
    expect((await told("one")).sort()).toEqual(
      ["created one", ...names.map((name) => `created ${name}`)].sort(),
    );
    await files.upload(source, `${at}/to`);
    expect((await told("two")).sort()).toEqual([
      ...["changed to/a", "changed to/b", "changed to/link", "changed to/sub/c", "created two"],
    ]);
    await files.copy(`${at}/to`, `${at}/copy`, { recursive: true });
    const copied = ["copy/", "copy/a", "copy/b", "copy/link", "copy/sub/", "copy/sub/c"];
    expect((await told("three")).sort()).toEqual(
      ["created three", ...copied.map((name) => `created ${name}`)].sort(),
    );
    await files.writeMany(["a", "d"].map((name) => ({ path: `${at}/copy/${name}`, content: "2" })));
    expect((await told("four")).sort()).toEqual(["changed copy/a", "created copy/d", "created four"]);
  });

  test("of temporary files of ours that others rename tells what became of theirs", async () => {
    const at = directory();
    await using watch = await files.watch(at);
    writeFileSync(`${at}/.smolvm-1-2.tmp`, "1");
    writeFileSync(`${at}/.smolvm-1-2.txt`, "1");
    renameSync(`${at}/.smolvm-1-2.txt`, `${at}/.smolvm-1-2.tmp`);
    rmSync(`${at}/.smolvm-1-2.tmp`);
    mkdirSync(`${at}/.smolvm-1-2.new`);
    expect(await through(watch, "created .smolvm-1-2.new/")).toEqual([
      ...["created .smolvm-1-2.txt", "changed .smolvm-1-2.txt", "removed .smolvm-1-2.txt"],
      "created .smolvm-1-2.new/",
    ]);
  });

  test("ends with the directory, with the loop, and with its limits", async () => {
    const at = directory();
    mkdirSync(`${at}/sub`);
    const said: string[] = [];
    await using watch = await files.watch(`${at}/sub`);
    writeFileSync(`${at}/sub/f`, "");
    rmSync(`${at}/sub`, { recursive: true });
    for await (const event of watch) said.push(say(event));
    expect(said).toEqual(["created f", "removed f", "removed /"]);

    writeFileSync(`${at}/f`, "");
    const left = await files.watch(at);
    writeFileSync(`${at}/g`, "");
    for await (const _ of left) break;
    expect(await left.next()).toEqual({ done: true, value: undefined });

    const waiting = await files.watch(at);
    const next = waiting.next();
    waiting.close();
    expect(await next).toEqual({ done: true, value: undefined });

    const abort = new AbortController();
    const aborted = (await files.watch(at, { signal: abort.signal })).next();
    abort.abort();
    await expect(aborted).rejects.toMatchObject({ code: "ABORTED" });
    await expect((await files.watch(at, { timeoutMs: 50 })).next()).rejects.toMatchObject({
      code: "TIMEOUT",
    });
    await expect(files.watch(`${at}/none`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(files.watch("")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await until("no watch is left in the guest", () => session.streamCount === 0);
  });

  test("by a slow reader loses events, says so, and is complete again afterwards; nothing piles up", async () => {
    const at = directory();
    await using watch = await files.watch(at, { recursive: true });
    const before = process.memoryUsage().arrayBuffers;
    flood(at);
    await runCommand(session, "true"); // what the guest could send us it has sent by now
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
    let events = 0;
    let last = "";
    for await (const event of watch) {
      last = say(event);
      events++;
      if (last === "overflow") break;
    }
    expect(last).toBe("overflow");
    expect(events).toBeLessThan(30_000);
  });

  test("goes on after an overflow with what was missed", async () => {
    const at = directory();
    await using watch = await files.watch(at, { recursive: true });
    flood(at);
    mkdirSync(`${at}/late/deep`, { recursive: true });
    await through(watch, "overflow");
    writeFileSync(`${at}/late/deep/f`, "1");
    expect(await through(watch, "changed late/deep/f")).toContain("created late/deep/f");
  });

  test("has a limit of watches, and of directories", async () => {
    const at = directory();
    const watches: FileWatch[] = [];
    const failure = await (async () => {
      for (let n = 0; n < 65; n++) watches.push(await files.watch(at));
    })().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "VM_BUSY", message: expect.stringContaining("64 watches") });
    expect(watches).toHaveLength(64);
    writeFileSync(`${at}/f`, "1");
    for (const watch of watches) {
      expect(say((await watch.next()).value!)).toBe("created f");
      watch.close();
    }
    await until("they are gone", () => session.streamCount === 0);
    for (let n = 0; n < 8200; n++) mkdirSync(`${at}/d${n}`);
    await expect(files.watch(at, { recursive: true })).rejects.toMatchObject({ code: "VM_BUSY" });
    (await files.watch(at)).close();
  });

  test("is nothing that a session's end leaves behind", async () => {
    const at = directory();
    const workers = async (): Promise<string> =>
      (await runCommand(session, `ps --ppid ${agent.process.pid} -o pid= | wc -l`)).stdout.trim();
    await files.exists(at); // from now on a worker waits
    const own = await agent.connect();
    await using watch = await new GuestFiles(async () => own).watch(at);
    const next = watch.next();
    await own.close();
    await expect(next).rejects.toMatchObject({ code: "AGENT_LOST" });
    // ps and wc run in one command of the agent's.
    await until("the worker has gone", async () => (await workers()) === "2");
  });
});

describe("a watch of a lying guest", () => {
  async function events(send: (stream: FakeStream) => void): Promise<unknown> {
    await using guest = await FakeGuest.start({ onOpen: send });
    const session = await guest.connect();
    try {
      const said: string[] = [];
      for await (const event of await new GuestFiles(async () => session).watch("/srv"))
        said.push(say(event));
      return said;
    } catch (error) {
      return error;
    } finally {
      await session.close();
    }
  }
  const record = (draft: Draft<FileEventMessage>): Buffer => encodeRecord(encode(FileEventSchema, draft));
  const path = (text: string): Uint8Array => Buffer.from(text);
  const tells = (draft: Draft<FileEventMessage>) => (stream: FakeStream) =>
    void stream.opened().data(1, record(draft));

  test.each<[string, Draft<FileEventMessage>]>([
    ["leads out", { kind: 1, path: path("../x") }],
    ["leads out of a rename", { kind: 4, path: path("x"), from: path("a/../../x") }],
    ["is absolute", { kind: 1, path: path("/etc") }],
    ["is longer than any", { kind: 1, path: Buffer.alloc(5000, "x") }],
    ["comes from nowhere", { kind: 4, path: path("x") }],
    ["comes with another", { kind: 1, path: path("x"), from: path("y") }],
    ["is of an unknown kind", { kind: 6, path: path("x") }],
    ["is of no kind", {}],
  ])("whose path %s is cut off", async (_, draft) => {
    expect(await events(tells(draft))).toMatchObject({ code: "AGENT_PROTOCOL" });
  });

  test("that ends inside an event, or without its end, is a failure", async () => {
    const whole = record({ kind: 1, path: path("x") });
    const cut = (stream: FakeStream) => void stream.opened().data(1, whole.subarray(0, 3)).end(1).result();
    expect(await events(cut)).toMatchObject({ code: "AGENT_PROTOCOL" });
    const endless = (stream: FakeStream) => void stream.opened().data(1, whole).result();
    expect(await events(endless)).toMatchObject({ code: "AGENT_PROTOCOL" });
    const fine = (stream: FakeStream) => void stream.opened().data(1, whole).end(1).result();
    expect(await events(fine)).toEqual(["created x"]);
  });

  test("that sends more than anybody takes is cut off", async () => {
    const flooding = (stream: FakeStream) => void stream.opened().data(1, Buffer.alloc(65 * 1024));
    expect(await events(flooding)).toMatchObject({ code: "AGENT_PROTOCOL" });
  });

  test("whose agent is older says so, and what to do", async () => {
    const old = (stream: FakeStream) =>
      void stream.result({ error: { code: 10, message: "this agent does not know the request" } });
    expect(await events(old)).toMatchObject({
      code: "NOT_SUPPORTED",
      message: expect.stringContaining("watching '/srv' failed: the guest's agent does not support it"),
      hint: expect.stringContaining("create the sandbox again"),
    });
  });
});
