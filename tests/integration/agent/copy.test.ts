import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { chmod, readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { runCommand } from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import { FakeGuest } from "../../fakes/fake-guest.ts";
import { AGENT_IS_ROOT, agentMissing, type LocalAgent, NOT_ANOTHER, useAgent } from "../../helpers/agent.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

describe.skipIf(missing)("a copy in the guest", () => {
  let agent: LocalAgent;
  let session: AgentSession;
  let files: GuestFiles;
  const directory = useAgent((guest) => {
    ({ agent, session, files } = guest);
  });

  test("of a file has its content, mode and time, and takes the place of what is there", async () => {
    const at = directory();
    const content = Buffer.alloc(3_000_000, "0123456789");
    writeFileSync(`${at}/from`, content, { mode: 0o640 });
    utimesSync(`${at}/from`, 1_500_000_000, 1_500_000_000.25);
    symlinkSync("from", `${at}/link`);
    expect(await files.copy(`${at}/link`, `${at}/to`)).toEqual({
      entries: 1,
      bytes: content.length,
      skipped: 0,
    });
    expect(readFileSync(`${at}/to`).equals(content)).toBe(true);
    const { mode, mtimeMs } = lstatSync(`${at}/to`);
    expect([mode, mtimeMs]).toEqual([0o100_640, 1_500_000_000_250]);
    writeFileSync(`${at}/short`, "short");
    await files.copy(`${at}/short`, `${at}/to`);
    expect(readFileSync(`${at}/to`, "utf8")).toBe("short");
    await files.copy(`${at}/short`, `${at}/new/dir/file`, { parents: true });
    expect((await readdir(at)).sort()).toEqual(["from", "link", "new", "short", "to"]);
    expect(await files.copy("/proc/self/status", `${at}/status`)).toMatchObject({ entries: 1 });
    expect(readFileSync(`${at}/status`, "utf8")).toMatch(/^Name:/);
    await files.write(`${at}/empty`, "");
    expect(await files.copy(`${at}/empty`, `${at}/to`)).toEqual({ entries: 1, bytes: 0, skipped: 0 });
    expect(statSync(`${at}/to`).size).toBe(0);
  });

  test("keeps holes, at the end, too", async () => {
    const at = directory();
    const make =
      "truncate -s 8M holes; printf x | dd of=holes bs=1 seek=4194304 conv=notrunc; truncate -s 64M none";
    await runCommand(session, make, { cwd: at });
    for (const [name, size] of [
      ["holes", 8],
      ["none", 64],
    ] as const) {
      expect((await files.copy(`${at}/${name}`, `${at}/copy`)).bytes).toBe(size * 1024 * 1024);
      const compared = await runCommand(session, ["cmp", `${at}/${name}`, `${at}/copy`]);
      expect(compared).toMatchObject({ exitCode: 0, stdout: "" });
      expect(statSync(`${at}/copy`).blocks).toBeLessThan(1000);
    }
  });

  test("of a directory has everything in it, and is added to what is there", async () => {
    const at = directory();
    mkdirSync(`${at}/from/sub/empty`, { recursive: true });
    writeFileSync(`${at}/from/file`, "new");
    writeFileSync(Buffer.concat([Buffer.from(`${at}/from/sub/`), Buffer.from([0xff])]), "not UTF-8");
    symlinkSync("../../outside", `${at}/from/sub/link`);
    chmodSync(`${at}/from/sub/empty`, 0o500);
    utimesSync(`${at}/from/sub`, 1_400_000_000, 1_400_000_000);
    await runCommand(session, ["mkfifo", `${at}/from/pipe`]);
    const copied = await files.copy(`${at}/from`, `${at}/to//`, { recursive: true });
    expect(copied).toEqual({ entries: 5, bytes: 12, skipped: 1 });
    const same = await runCommand(session, "rm from/pipe; diff -r --no-dereference from to", { cwd: at });
    expect(same).toMatchObject({ exitCode: 0, output: "" });
    expect(readlinkSync(`${at}/to/sub/link`)).toBe("../../outside");
    expect(statSync(`${at}/to/sub/empty`).mode & 0o7777).toBe(0o500);
    expect(statSync(`${at}/to/sub`).mtimeMs).toBe(1_400_000_000_000);

    writeFileSync(`${at}/to/file`, "old");
    writeFileSync(`${at}/to/other`, "old");
    await files.copy(`${at}/from`, `${at}/to`, { recursive: true });
    expect([readFileSync(`${at}/to/file`, "utf8"), readFileSync(`${at}/to/other`, "utf8")]).toEqual([
      "new",
      "old",
    ]);
    expect((await readdir(`${at}/to`)).sort()).toEqual(["file", "other", "sub"]);
  });

  test("never of itself: wherever a directory is to go in what is copied, nothing is made", async () => {
    const at = directory();
    mkdirSync(`${at}/a/b/c`, { recursive: true });
    symlinkSync("a/b", `${at}/alias`);
    for (const [from, to] of [
      ["a", "a"],
      ["a", "a/new"],
      ["a", "a/b"],
      ["a", "a/b/c/new"],
      ["a", "alias"],
      ["a", "alias/new"],
      ["a/.", "a/b/../new"],
      ["alias", "a/b/new"],
    ]) {
      await expect(files.copy(`${at}/${from}`, `${at}/${to}`, { recursive: true })).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringMatching(/a directory cannot be copied into itself|the two are the same/),
        details: { errno: "EINVAL" },
      });
    }
    expect((await files.list(at, { depth: 256 })).map(({ path }) => path.slice(at.length))).toEqual([
      ...["/a", "/a/b", "/a/b/c", "/alias"],
    ]);
    await files.copy(`${at}/a`, `${at}/ab`, { recursive: true }); // a name that begins the same is another
    await files.copy(`${at}/a/b`, `${at}/ab`, { recursive: true });
    expect(await files.exists(`${at}/ab/c`)).toBe(true);
    await expect(files.copy("/", `${at}/all`, { recursive: true })).rejects.toThrow(/into itself/);
  });

  test("says by errno what is in its way, and leaves that as it is", async () => {
    const at = directory();
    mkdirSync(`${at}/dir/file`, { recursive: true });
    writeFileSync(`${at}/file`, "x");
    await runCommand(session, ["mkfifo", `${at}/pipe`]);
    const recursive = true;
    for (const [from, to, options, errno] of [
      ["none", "to", {}, "ENOENT"],
      ["file", "none/to", {}, "ENOENT"],
      ["dir", "to", {}, "EISDIR"],
      ["file", "dir", {}, "EISDIR"],
      ["dir", "file", { recursive }, "ENOTDIR"],
      ["file", "file", {}, "EINVAL"],
      ["pipe", "to", {}, "EINVAL"],
      ["file", "pipe", {}, "EINVAL"],
      ["file", "dir/file", { overwrite: false }, "EEXIST"],
      ["dir", "dir/file", { overwrite: false, recursive }, "EEXIST"],
      ["file", "to/", {}, "EISDIR"],
    ] as const) {
      await expect(files.copy(`${at}/${from}`, `${at}/${to}`, options)).rejects.toMatchObject({
        details: { errno, side: "guest" },
      });
    }
    mkdirSync(`${at}/clash`);
    writeFileSync(`${at}/clash/file`, "a file here");
    await expect(files.copy(`${at}/dir`, `${at}/clash`, { recursive })).rejects.toMatchObject({
      code: "FILE_TYPE",
    });
    expect((await readdir(at)).sort()).toEqual(["clash", "dir", "file", "pipe"]);
  });

  test("belongs to its user, without set-id bits, and only what she may read", async () => {
    const at = directory();
    await chmod(agent.directory, 0o755);
    await chmod(at, 0o777);
    writeFileSync(`${at}/program`, "x");
    if (AGENT_IS_ROOT) chownSync(`${at}/program`, 65534, 65534);
    chmodSync(`${at}/program`, 0o6755);
    await files.copy(`${at}/program`, `${at}/mine`);
    expect(await files.stat(`${at}/mine`)).toMatchObject({ mode: 0o755, uid: process.getuid!() });
    const copied = files.copy(`${at}/program`, `${at}/theirs`, { user: "nobody" });
    if (!AGENT_IS_ROOT) return await expect(copied).rejects.toMatchObject(NOT_ANOTHER);
    await copied;
    expect(await files.stat(`${at}/theirs`)).toMatchObject({ mode: 0o755, uid: 65534 });
    await files.write(`${at}/secret`, "x", { mode: 0o600 });
    await expect(files.copy(`${at}/secret`, `${at}/got`, { user: "nobody" })).rejects.toMatchObject({
      code: "FILE_PERMISSION",
      details: { errno: "EACCES" },
    });
  });

  test("that is given up leaves no half file", async () => {
    const at = directory();
    mkdirSync(`${at}/from`);
    await runCommand(session, "seq 30000 | xargs touch", { cwd: `${at}/from` });
    const abort = new AbortController();
    const copy = files.copy(`${at}/from`, `${at}/to`, { recursive: true, signal: abort.signal });
    await until("it has begun", async () => await files.exists(`${at}/to`));
    abort.abort();
    await expect(copy).rejects.toMatchObject({ code: "ABORTED" });
    await until("it has stopped", async () => {
      const names = await readdir(`${at}/to`);
      return !names.some((name) => name.startsWith(".smolvm-"));
    });
    expect((await readdir(`${at}/to`)).length).toBeLessThan(30_000);
  });
});

test("an older agent does not copy, and that is said", async () => {
  await using guest = await FakeGuest.start({
    onOpen: (stream) => {
      stream.result({ error: { code: 10, message: "this agent does not know the request" } });
    },
  });
  const session = await guest.connect();
  await expect(new GuestFiles(async () => session).copy("/a", "/b")).rejects.toMatchObject({
    code: "NOT_SUPPORTED",
    hint: expect.stringContaining("create the sandbox again"),
  });
  await session.close();
});
