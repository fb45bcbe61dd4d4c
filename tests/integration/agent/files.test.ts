import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { chmod, lstat, mkdir, readdir, readlink, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { runCommand } from "../../../src/agent/process/exec.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import { AGENT_IS_ROOT, agentMissing, type LocalAgent, NOT_ANOTHER, useAgent } from "../../helpers/agent.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const BIG = randomBytes(5_000_000);

describe.skipIf(missing)("files in the guest", () => {
  let agent: LocalAgent;
  let session: AgentSession;
  let files: GuestFiles;
  const directory = useAgent((guest) => {
    ({ agent, session, files } = guest);
  });

  test("make the round trip byte for byte, whatever their size", async () => {
    const at = directory();
    for (const size of [0, 1, 65_535, 65_536, 65_537, 1_000_000, BIG.length]) {
      const content = BIG.subarray(0, size);
      await files.write(`${at}/blob`, content);
      expect(sha(readFileSync(`${at}/blob`))).toBe(sha(content));
      expect(sha(await files.read(`${at}/blob`))).toBe(sha(content));
    }
    await files.write(`${at}/text`, "grüße\n");
    expect(await files.readText(`${at}/text`)).toBe("grüße\n");
  });

  test("are read in part, and not beyond a limit", async () => {
    const at = directory();
    writeFileSync(`${at}/blob`, "0123456789");
    expect(await files.readText(`${at}/blob`, { offset: 3, length: 4 })).toBe("3456");
    expect(await files.readText(`${at}/blob`, { length: 0 })).toBe("");
    await expect(files.read(`${at}/blob`, { maxBytes: 9 })).rejects.toMatchObject({ code: "FILE_FAILED" });
    await expect(files.read("/dev/zero", { maxBytes: 10_000_000 })).rejects.toThrow();
    await expect(files.read(`${at}/blob`, { offset: -1 })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  });

  test("are streamed both ways", async () => {
    const at = directory();
    const source = Readable.from(
      (function* () {
        for (let from = 0; from < BIG.length; from += 99_999) yield BIG.subarray(from, from + 99_999);
      })(),
    );
    await pipeline(source, await files.writeStream(`${at}/blob`));
    const chunks: Buffer[] = [];
    for await (const chunk of await files.readStream(`${at}/blob`)) chunks.push(chunk as Buffer);
    expect(sha(Buffer.concat(chunks))).toBe(sha(BIG));
    await expect(files.readStream(`${at}/none`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(files.writeStream(`${at}/none/none`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    for await (const _ of await files.readStream(`${at}/blob`)) break; // leaving early is fine
    expect((await files.stat(`${at}/blob`)).size).toBe(BIG.length);
  });

  test("are written whole or not at all", async () => {
    const at = directory();
    writeFileSync(`${at}/config`, "old");
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(300_000);
      throw new Error("the source broke");
    }
    await expect(files.write(`${at}/config`, broken())).rejects.toMatchObject({
      code: "HOST_FAILED",
      message: /the source broke/,
    });
    const stream = await files.writeStream(`${at}/config`);
    stream.write("new");
    stream.destroy();
    await files.stat(`${at}/config`);
    expect(readFileSync(`${at}/config`, "utf8")).toBe("old");
    const controller = new AbortController();
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(10);
      controller.abort();
      yield Buffer.alloc(10);
    }
    await expect(files.write(`${at}/config`, stuck(), { signal: controller.signal })).rejects.toMatchObject({
      code: "ABORTED",
    });
    expect(readFileSync(`${at}/config`, "utf8")).toBe("old");
    // The guest removes what it had half written after we have let go of it.
    await until("nothing else is left", async () => (await readdir(at)).length === 1);
  });

  test("take a mode, a time, and are appended to or made only if new", async () => {
    const at = directory();
    const mtime = new Date(1_600_000_000_500);
    await files.write(`${at}/deep/er/file`, "a", { parents: true, mode: 0o750, mtime });
    expect(await files.stat(`${at}/deep/er/file`)).toMatchObject({
      type: "file",
      size: 1,
      mode: 0o750,
      mtime,
    });
    await files.write(`${at}/deep/er/file`, "b", { append: true });
    expect(await files.readText(`${at}/deep/er/file`)).toBe("ab");
    await expect(files.write(`${at}/deep/er/file`, "c", { exclusive: true })).rejects.toMatchObject({
      code: "FILE_EXISTS",
    });
    await expect(files.write(`${at}/no/dir`, "c")).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(files.write(`${at}/deep`, "c")).rejects.toMatchObject({ code: "FILE_TYPE" });
  });

  test("are listed, looked at, made, renamed and removed", async () => {
    const at = directory();
    await files.mkdir(`${at}/tree/deep`, { parents: true });
    await files.mkdir(`${at}/tree`, { parents: true });
    await expect(files.mkdir(`${at}/tree`)).rejects.toMatchObject({ code: "FILE_EXISTS" });
    await files.write(`${at}/tree/a`, "1");
    symlinkSync("a", `${at}/tree/link`);
    symlinkSync("nothing", `${at}/tree/broken`);
    expect((await files.list(`${at}/tree`)).map(({ name, type, target }) => [name, type, target])).toEqual([
      ["a", "file", undefined],
      ["broken", "symlink", "nothing"],
      ["deep", "directory", undefined],
      ["link", "symlink", "a"],
    ]);
    expect(await files.stat(`${at}/tree/link`)).toMatchObject({ type: "file", size: 1 });
    expect(await files.stat(`${at}/tree/link`, { follow: false })).toMatchObject({
      type: "symlink",
      target: "a",
    });
    expect(await files.exists(`${at}/tree/broken`)).toBe(false);
    expect(await files.exists(`${at}/tree/a/b`)).toBe(false);
    await files.write(`${at}/tree/c`, "old");
    await expect(files.rename(`${at}/tree/a`, `${at}/tree/c`, { replace: false })).rejects.toMatchObject({
      code: "FILE_EXISTS",
    });
    await files.rename(`${at}/tree/a`, `${at}/tree/c`);
    expect(await files.exists(`${at}/tree/a`)).toBe(false);
    expect(await files.readText(`${at}/tree/c`)).toBe("1");
    await expect(files.remove(`${at}/tree`)).rejects.toMatchObject({ code: "FILE_EXISTS" });
    await files.remove(`${at}/tree`, { recursive: true });
    await expect(files.remove(`${at}/tree`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await files.remove(`${at}/tree`, { force: true });
    await expect(files.read(`${at}/tree/c`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(files.read(at)).rejects.toMatchObject({ code: "FILE_TYPE" });
  });

  test("are listed with what is in the directories below, to a depth and no further", async () => {
    const at = directory();
    await files.mkdir(`${at}/a/b/c/d`, { parents: true });
    await files.mkdir(`${at}/a.x`);
    for (const name of ["a/f", "a/b/f", "a/b/c/f", "a/b/c/d/f", "z"])
      await files.write(`${at}/${name}`, name);
    symlinkSync("/", `${at}/a/link`);
    const paths = async (depth?: number, options = {}): Promise<string[]> =>
      (await files.list(at, { depth, ...options })).map(({ path }) => path.slice(at.length + 1));
    expect(await paths()).toEqual(["a", "a.x", "z"]);
    expect(await paths(2)).toEqual(["a", "a/b", "a/f", "a/link", "a.x", "z"]);
    const all = [
      "a",
      "a/b",
      "a/b/c",
      "a/b/c/d",
      "a/b/c/d/f",
      "a/b/c/f",
      "a/b/f",
      "a/f",
      "a/link",
      "a.x",
      "z",
    ];
    expect(await paths(256)).toEqual(all);
    expect(await files.list(at, { depth: 4 })).toContainEqual(await files.stat(`${at}/a/b/c/f`));
    await chmod(agent.directory, 0o755);
    await chmod(`${at}/a/b`, 0o700);
    const theirs = files.list(at, { depth: 5, user: "nobody" });
    if (AGENT_IS_ROOT) {
      await expect(theirs).rejects.toMatchObject({
        code: "FILE_PERMISSION",
        message: expect.stringContaining(`${at}/a/b'`),
        details: { errno: "EACCES" },
      });
      expect(await paths(2, { user: "nobody" })).toHaveLength(6);
    } else await expect(theirs).rejects.toMatchObject(NOT_ANOTHER);
    for (const depth of [0, -1, 1.5, 257, Number.POSITIVE_INFINITY, "2" as never]) {
      await expect(files.list(at, { depth })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    }
  });

  test("nested deeper than can be listed are listed as deep as can be", async () => {
    const at = directory();
    await runCommand(session, "for i in $(seq 300); do mkdir d; cd d; done", { cwd: at });
    expect(await files.list(at, { depth: 256 })).toHaveLength(256);
  });

  test("of thousands in one directory are all listed", async () => {
    const at = directory();
    const names = Array.from({ length: 3000 }, (_, n) => `file-${String(n).padStart(5, "0")}`);
    for (const name of names) writeFileSync(join(at, name), "");
    const entries = await files.list(at);
    expect(entries.map(({ name }) => name)).toEqual(names);
    expect(entries.map(({ path }) => path)).toEqual(names.map((name) => `${at}/${name}`));
  });

  test("belong to whom they are written as, who may not write everywhere", async () => {
    const at = directory();
    await chmod(agent.directory, 0o755);
    await chmod(at, 0o777);
    await expect(files.write(`${at}/x`, "x", { user: "no-such-user" })).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
    const written = files.write(`${at}/theirs`, "x", { user: "nobody" });
    if (!AGENT_IS_ROOT) return await expect(written).rejects.toMatchObject(NOT_ANOTHER);
    await written;
    expect((await runCommand(session, ["stat", "-c", "%U", `${at}/theirs`])).stdout).toBe("nobody\n");
    await expect(files.write("/etc/theirs", "x", { user: "nobody" })).rejects.toMatchObject({
      code: "FILE_PERMISSION",
    });
  });

  test("of a relative path are in the working directory, whatever is done with them", async () => {
    const at = directory();
    const here = new GuestFiles(
      async () => session,
      () => ({ workdir: at }),
    );
    await here.mkdir("./d");
    expect(await here.write("d/f", "1")).toMatchObject({ name: "f", path: `${at}/d/f` });
    expect(await here.readText("d//f")).toBe("1");
    expect(await here.stat("d/.")).toMatchObject({ name: "d", path: `${at}/d/` });
    expect((await here.list(".", { depth: 2 })).map(({ path }) => path)).toEqual([`${at}/d`, `${at}/d/f`]);
    await here.write("~", "a tilde is a name");
    await here.rename("~", "d/~");
    await here.copy("d", "e", { recursive: true });
    await here.upload(`${at}/d`, "up");
    await here.download("up", `${at}/down`);
    for await (const _ of await here.downloadTar("e"));
    await using watch = await here.watch("e");
    await here.remove("e/f");
    expect((await watch.next()).value).toMatchObject({ kind: "removed", path: "f" });
    expect((await readdir(`${at}/down`)).sort()).toEqual(["f", "~"]);
    expect(await here.exists("../")).toBe(true);
    for (const path of ["..", "d/..", "d/../", `${at}/d/.`]) {
      await expect(here.remove(path, { recursive: true })).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        details: { errno: "EINVAL" },
      });
    }
    expect(await readdir(`${at}/d`)).toHaveLength(2);
    await here.remove(".", { recursive: true });
    expect(await files.exists(at)).toBe(false);
  });

  test("of a relative path without a working directory are in a home, which the guest knows", async () => {
    const { name, path, type } = await files.stat(".");
    expect({ name, path, type }).toEqual({ name: "root", path: "/root", type: "directory" });
    await expect(files.stat("x", { user: "no-such-user" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    if (!AGENT_IS_ROOT)
      return await expect(files.stat(".", { user: "daemon" })).rejects.toMatchObject(NOT_ANOTHER);
    const home = (await runCommand(session, ["sh", "-c", "echo ~daemon"])).stdout.trim();
    expect((await files.stat(".", { user: "daemon" })).path).toBe(home);
    const theirs = new GuestFiles(
      async () => session,
      () => ({ user: "daemon" }),
    );
    expect((await theirs.stat("./")).path).toBe(home);
    const { path: first } = (await theirs.list("."))[0]!;
    expect(first.startsWith(`${home}/`)).toBe(true);
    await expect(files.stat("no/such/file")).rejects.toMatchObject({
      code: "FILE_NOT_FOUND",
      message: /'no\/such\/file' failed.*'\/root\/no\/such\/file'/,
    });
  });

  test.each(["", "/nul\0inside", `/${"x".repeat(4096)}`])(
    "of an impossible path are refused before anything is sent: %j",
    async (path) => {
      for (const act of [
        () => files.read(path),
        () => files.write(path, ""),
        () => files.list(path),
        () => files.rename("/a", path),
        () => files.upload(agent.directory, path),
        () => files.download(path, agent.directory),
      ]) {
        await expect(act()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
      }
    },
  );

  test("many at once", async () => {
    const at = directory();
    await Promise.all(Array.from({ length: 200 }, (_, n) => files.write(`${at}/${n}`, `content ${n}`)));
    const read = await Promise.all(Array.from({ length: 200 }, (_, n) => files.readText(`${at}/${n}`)));
    expect(read).toEqual(Array.from({ length: 200 }, (_, n) => `content ${n}`));
  });

  describe("uploaded and downloaded", () => {
    test("one by one keep content, mode and time, and replace what was there", async () => {
      const at = directory();
      await writeFile(`${at}/source`, BIG);
      await chmod(`${at}/source`, 0o751);
      await utimes(`${at}/source`, 1_500_000_000, 1_500_000_000);
      await writeFile(`${at}/sent`, "old");
      const seen: number[] = [];
      const sent = await files.upload(`${at}/source`, `${at}/sent`, {
        onProgress: ({ bytes }) => seen.push(bytes),
      });
      expect(sent).toEqual({ entries: 1, bytes: BIG.length, skipped: [] });
      expect(seen.at(-1)).toBe(BIG.length);
      await writeFile(`${at}/back`, "old");
      const fetched = await files.download(`${at}/sent`, `${at}/back`);
      expect(fetched).toEqual({ entries: 1, bytes: BIG.length, skipped: [] });
      expect(sha(readFileSync(`${at}/back`))).toBe(sha(BIG));
      expect(statSync(`${at}/back`).mode & 0o777).toBe(0o751);
      expect(statSync(`${at}/back`).mtimeMs).toBe(1_500_000_000_000);
      expect((await readdir(at)).sort()).toEqual(["back", "sent", "source"]);
    });

    test("as a directory keep contents, modes, times and links both ways", async () => {
      const at = directory();
      const source = join(at, "source");
      mkdirSync(join(source, "sub", "empty"), { recursive: true });
      writeFileSync(join(source, "sub", "program"), "#!/bin/sh\necho ran\n");
      await chmod(join(source, "sub", "program"), 0o755);
      writeFileSync(join(source, "big"), BIG);
      writeFileSync(join(source, "none"), "");
      writeFileSync(join(source, "grüße\n"), "odd name");
      writeFileSync(Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0xff, 0x2e])]), "not UTF-8");
      for (let n = 0; n < 300; n++) writeFileSync(join(source, "sub", `n${n}`), `${n}`.repeat(n));
      symlinkSync("sub/program", join(source, "link"));
      symlinkSync("../big", join(source, "sub", "up"));
      await utimes(join(source, "big"), 1_600_000_000, 1_600_000_000);
      await chmod(join(source, "sub", "empty"), 0o500);
      await utimes(join(source, "sub", "empty"), 1_400_000_000, 1_400_000_000);
      const sent = await files.upload(source, `${at}/sent`);
      expect(sent).toMatchObject({ entries: 309, skipped: [] });
      const fetched = await files.download(`${at}/sent`, `${at}/back`);
      expect(fetched).toEqual(sent);
      const compared = await runCommand(session, ["diff", "-r", "--no-dereference", source, `${at}/back`]);
      expect(compared).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
      expect((await lstat(`${at}/back/sub/program`)).mode & 0o777).toBe(0o755);
      expect((await lstat(`${at}/back/sub/empty`)).mode & 0o777).toBe(0o500);
      expect((await lstat(`${at}/back/sub/empty`)).mtimeMs).toBe(1_400_000_000_000);
      expect((await lstat(`${at}/back/big`)).mtimeMs).toBe(1_600_000_000_000);
      expect(await readlink(`${at}/back/sub/up`)).toBe("../big");
      expect(
        readFileSync(Buffer.concat([Buffer.from(`${at}/back/`), Buffer.from([0xff, 0x2e])]), "utf8"),
      ).toBe("not UTF-8");
    });

    test("into a directory that exists are added to it", async () => {
      const at = directory();
      await mkdir(join(at, "source", "both"), { recursive: true });
      await writeFile(join(at, "source", "both", "new"), "new");
      await writeFile(join(at, "source", "same"), "new");
      for (const target of ["sent", "back"]) {
        await mkdir(join(at, target, "both"), { recursive: true, mode: 0o700 });
        await writeFile(join(at, target, "both", "old"), "old");
        await writeFile(join(at, target, "same"), "old");
      }
      await files.upload(join(at, "source"), join(at, "sent"));
      await files.download(join(at, "source"), join(at, "back"));
      for (const target of ["sent", "back"]) {
        expect((await readdir(join(at, target, "both"))).sort()).toEqual(["new", "old"]);
        expect(readFileSync(join(at, target, "same"), "utf8")).toBe("new");
      }
      expect((await readdir(at)).sort()).toEqual(["back", "sent", "source"]);
    });

    test("say what was left out: links that lead out, and what is no file", async () => {
      const at = directory();
      const source = join(at, "source");
      mkdirSync(source);
      symlinkSync("/etc/passwd", join(source, "absolute"));
      symlinkSync("../../etc", join(source, "climbs"));
      symlinkSync("inside", join(source, "fine"));
      await runCommand(session, ["mkfifo", join(source, "pipe")]);
      const sent = await files.upload(source, `${at}/sent`);
      expect(sent.skipped).toEqual([{ path: "pipe", reason: "a device, pipe or socket" }]);
      expect(await readlink(`${at}/sent/absolute`)).toBe("/etc/passwd");
      const { skipped } = await files.download(source, `${at}/back`);
      expect(skipped.map(({ path }) => path).sort()).toEqual(["absolute", "climbs"]);
      expect(await readdir(`${at}/back`)).toEqual(["fine"]);
    });

    test("through a symlink that the user named, on either side", async () => {
      const at = directory();
      mkdirSync(`${at}/real`);
      writeFileSync(`${at}/real/file`, "x");
      symlinkSync("real", `${at}/alias`);
      await files.download(`${at}/alias`, `${at}/back`);
      expect(await readdir(`${at}/back`)).toEqual(["file"]);
      await files.download(`${at}/alias/file`, `${at}/alias/copy`);
      mkdirSync(`${at}/target`);
      symlinkSync("target", `${at}/to`);
      await files.download(`${at}/real`, `${at}/to`);
      expect((await readdir(`${at}/target`)).sort()).toEqual(["copy", "file"]);
      await files.upload(`${at}/alias`, `${at}/sent`);
      expect((await readdir(`${at}/sent`)).sort()).toEqual(["copy", "file"]);
    });

    test("to the wrong kind of place change nothing", async () => {
      const at = directory();
      mkdirSync(`${at}/directory/sub`, { recursive: true });
      writeFileSync(`${at}/file`, "x");
      await expect(files.download(`${at}/file`, `${at}/directory`)).rejects.toMatchObject({
        code: "FILE_TYPE",
      });
      await expect(files.download(`${at}/directory`, `${at}/file`)).rejects.toMatchObject({
        code: "FILE_TYPE",
      });
      await expect(files.download(`${at}/file`, `${at}/no/file`)).rejects.toMatchObject({
        code: "FILE_NOT_FOUND",
      });
      await files.download(`${at}/file`, `${at}/made/file`, { parents: true });
      await expect(files.download(`${at}/none`, `${at}/x`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
      await expect(files.upload(`${at}/none`, `${at}/x`)).rejects.toMatchObject({
        code: "FILE_NOT_FOUND",
        message: /on this machine/,
      });
      await expect(files.upload(`${at}/file`, `${at}/directory`)).rejects.toMatchObject({
        code: "FILE_TYPE",
      });
      await expect(files.upload(`${at}/directory`, `${at}/file`)).rejects.toMatchObject({
        code: "FILE_TYPE",
      });
      mkdirSync(`${at}/clash`);
      writeFileSync(`${at}/clash/sub`, "a file here");
      await expect(files.download(`${at}/directory`, `${at}/clash`)).rejects.toMatchObject({
        code: "FILE_TYPE",
      });
      expect((await readdir(at)).sort()).toEqual(["clash", "directory", "file", "made"]);
    });

    test("beyond the limits are refused", async () => {
      const at = directory();
      mkdirSync(`${at}/source`);
      for (let n = 0; n < 20; n++) writeFileSync(`${at}/source/${n}`, "0123456789");
      for (const limit of [{ maxEntries: 19 }, { maxBytes: 199 }]) {
        await expect(files.download(`${at}/source`, `${at}/x`, limit)).rejects.toMatchObject({
          code: "FILE_UNSAFE",
        });
      }
      await files.download(`${at}/source`, `${at}/back`, { maxEntries: 20, maxBytes: 200 });
      await expect(files.download(`${at}/source/1`, `${at}/x`, { maxBytes: 9 })).rejects.toMatchObject({
        code: "FILE_UNSAFE",
      });
      expect((await readdir(at)).sort()).toEqual(["back", "source"]);
    });

    test("can be aborted, leaving nothing behind on the host", async () => {
      const at = directory();
      writeFileSync(`${at}/source`, BIG);
      const controller = new AbortController();
      const downloading = files.download(`${at}/source`, `${at}/back`, {
        signal: controller.signal,
        onProgress: () => controller.abort(),
      });
      await expect(downloading).rejects.toMatchObject({ code: "ABORTED" });
      expect(await readdir(at)).toEqual(["source"]);
    });
  });
});
