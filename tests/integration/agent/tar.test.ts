import { execFile, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import { FrameType } from "../../../src/agent/wire/frame.ts";
import type { TreeRecord } from "../../../src/agent/wire/messages.ts";
import type { Draft } from "../../../src/agent/wire/schema.ts";
import { encodeEntry, padding } from "../../../src/util/tar/header.ts";
import { directory, entry, FakeGuest, type FakeStream, file, ROOT, symlink } from "../../fakes/fake-guest.ts";
import { agentMissing, useAgent } from "../../helpers/agent.ts";
import { layerTar } from "../../helpers/layers.ts";
import { until } from "../../helpers/wait.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

const exec = promisify(execFile);
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const LONG = `${"d".repeat(120)}/${"e".repeat(120)}`;

/** Everything below a directory: type, mode, time, content or target. */
function listing(root: string, path = ""): string[] {
  return readdirSync(join(root, path))
    .sort()
    .flatMap((name) => {
      const own = join(path, name);
      const stats = lstatSync(join(root, own));
      const mode = (stats.mode & 0o7777).toString(8);
      const time = Math.floor(stats.mtimeMs / 1000);
      if (stats.isSymbolicLink()) return [`${own} -> ${readlinkSync(join(root, own))}`];
      if (stats.isDirectory()) return [`${own}/ ${mode} ${time}`, ...listing(root, own)];
      return [`${own} ${mode} ${time} ${sha(readFileSync(join(root, own))).slice(0, 12)} x${stats.nlink}`];
    });
}

/** A tree with everything that tar keeps. */
function makeTree(at: string): void {
  mkdirSync(join(at, LONG), { recursive: true });
  mkdirSync(join(at, "empty"));
  writeFileSync(join(at, "program"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(at, "nothing"), "");
  writeFileSync(join(at, LONG, "file"), "far down");
  writeFileSync(join(at, "grüße \n"), "odd name");
  writeFileSync(join(at, "big"), randomBytes(3_000_001));
  symlinkSync("program", join(at, "link"));
  symlinkSync(`${LONG}/file`, join(at, "far"));
  utimesSync(join(at, "big"), 1_000_000_000, 1_000_000_000);
  chmodSync(join(at, "nothing"), 0o600);
  utimesSync(join(at, "empty"), 1_100_000_000, 1_100_000_000);
  chmodSync(join(at, "empty"), 0o700);
}

const raw = (name: string, type: string, target = "", content = ""): Buffer =>
  Buffer.concat([
    encodeEntry({
      ...{ name: Buffer.from(name), mode: 0o644, uid: 0, gid: 0, mtime: 1, type },
      ...{ size: content.length, linkName: Buffer.from(target) },
    }),
    Buffer.from(content),
    Buffer.alloc(padding(content.length)),
  ]);

describe.skipIf(missing)("tar archives", () => {
  let session: AgentSession;
  let files: GuestFiles;
  const fresh = useAgent((guest) => {
    ({ session, files } = guest);
  });

  test.each(["gnu", "pax", "oldgnu"])(
    "of tar(1) in its format %s are unpacked as tar(1) does it",
    async (format) => {
      const [source, byTar, byUs] = [fresh(), fresh(), fresh()];
      makeTree(source);
      linkSync(join(source, "big"), join(source, "big too"));
      linkSync(join(source, LONG, "file"), join(source, "near"));
      const tar = spawn("tar", ["-c", `--format=${format}`, "-C", source, "."], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const result = await files.uploadTar(tar.stdout, byUs);
      const packed = spawn("sh", [
        "-c",
        `tar -c --format=${format} -C '${source}' . | tar -xp -C '${byTar}'`,
      ]);
      await once(packed, "close");
      expect(listing(byUs)).toEqual(listing(byTar));
      expect(listing(byUs).filter((line) => line.endsWith(" x2"))).toHaveLength(4);
      expect(result).toMatchObject({ entries: 12, skipped: [] });
    },
  );

  test.each([
    ["gnu", []],
    ["pax", ["--sparse-version=0.0"]],
    ["pax", ["--sparse-version=0.1"]],
    ["pax", ["--sparse-version=1.0"]],
  ])("with sparse files (%s %s) are unpacked with zeros for their holes", async (format, more) => {
    const [source, byUs] = [fresh(), fresh()];
    writeFileSync(join(source, "hole"), "middle".padStart(400_000, "\0"));
    truncateSync(join(source, "hole"), 1_000_000);
    writeFileSync(join(source, "empty"), "");
    truncateSync(join(source, "empty"), 300_000);
    writeFileSync(join(source, "plain"), "plain");
    await exec("fallocate", ["--dig-holes", join(source, "hole")]);
    const tar = spawn("tar", ["-cS", `--format=${format}`, ...more, "-C", source, "hole", "empty", "plain"]);
    const { bytes } = await files.uploadTar(tar.stdout, byUs);
    expect(bytes).toBe(1_300_005);
    expect(listing(byUs)).toEqual(listing(source));
  });

  test.runIf(process.getuid?.() === 0)(
    "that keep their owners keep extended attributes, and capabilities, as well",
    async () => {
      const capability = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"; // cap_net_raw+ep, linux/capability.h
      const archive = (value: string) =>
        Readable.from([
          layerTar([
            { path: "d/", pax: { "SCHILY.xattr.user.of": "a directory" } },
            {
              path: "program",
              ...{ content: "program", mode: 0o755, uid: 7, gid: 8 },
              pax: {
                "SCHILY.xattr.user.of": value,
                "SCHILY.xattr.security.capability": capability,
                "SCHILY.xattr.trusted.overlay.opaque": "y",
              },
            },
            { path: "plain", content: "plain" },
          ]),
        ]);
      const attributes = async (of: string): Promise<unknown> => {
        const list =
          "import json, os, sys; print(json.dumps({n: {a: os.getxattr(n, a).decode('latin1') for a in os.listxattr(n)} for n in ('d', 'program', 'plain')}))";
        return JSON.parse((await exec("python3", ["-c", list], { cwd: of })).stdout);
      };
      const [kept, other] = [fresh(), fresh()];
      await files.uploadTar(archive("a file"), kept, { keepOwner: true });
      expect(await attributes(kept)).toEqual({
        d: { "user.of": "a directory" },
        program: { "user.of": "a file", "security.capability": capability },
        plain: {},
      });
      await files.uploadTar(archive("a file"), other);
      expect(await attributes(other)).toEqual({ d: {}, program: {}, plain: {} });
      await expect(
        files.uploadTar(archive("x".repeat(50_000)), kept, { keepOwner: true }),
      ).rejects.toMatchObject({ code: "FILE_UNSAFE" });
    },
  );

  test("are made for tar(1), busybox and our own reader alike", async () => {
    const [source, target, other, again] = [fresh(), fresh(), fresh(), fresh()];
    makeTree(source);
    chmodSync(join(source, "program"), 0o4755);
    const archive = join(target, "archive.tar");
    const { createWriteStream, createReadStream } = await import("node:fs");
    await pipeline(await files.downloadTar(`${source}/.`), createWriteStream(archive));
    rmSync(join(source, "program"));
    writeFileSync(join(source, "program"), "#!/bin/sh\n", { mode: 0o755 }); // set-user-id does not travel
    const { mtimeMs } = statSync(join(source, "program"));
    await exec("tar", ["-xpf", archive, "-C", other]);
    utimesSync(join(other, "program"), mtimeMs / 1000, mtimeMs / 1000);
    utimesSync(source, 0, 0);
    expect(listing(other)).toEqual(listing(source));
    await files.uploadTar(createReadStream(archive), again);
    utimesSync(join(again, "program"), mtimeMs / 1000, mtimeMs / 1000);
    expect(listing(again)).toEqual(listing(source));
    const { stdout } = await exec("busybox", ["tar", "-tf", archive]);
    expect(stdout.split("\n")).toEqual(expect.arrayContaining(["./", "program", `${LONG}/file`, "far"]));
  });

  test("are named after what they hold: a directory, its content, a file, whatever a symlink leads to", async () => {
    const at = fresh();
    mkdirSync(join(at, "tree"));
    writeFileSync(join(at, "tree/f"), "f");
    symlinkSync("tree", join(at, "alias"));
    const names = async (path: string, options = {}): Promise<string[]> => {
      const tar = spawn("tar", ["-t"], { stdio: ["pipe", "pipe", "inherit"] });
      const said = tar.stdout.toArray();
      await pipeline(await files.downloadTar(path, options), tar.stdin);
      return Buffer.concat(await said)
        .toString()
        .trim()
        .split("\n");
    };
    expect(await names(`${at}/tree`)).toEqual(["tree/", "tree/f"]);
    expect(await names(`${at}/tree/`)).toEqual(["tree/", "tree/f"]);
    expect(await names(`${at}/tree/.`)).toEqual(["./", "f"]);
    expect(await names(`${at}/alias`)).toEqual(["alias/", "alias/f"]);
    expect(await names(`${at}/tree/f`)).toEqual(["f"]);
    expect(await names(`${at}/tree/f`, { name: "g" })).toEqual(["g"]);
    await expect(files.downloadTar(`${at}/none`)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(files.uploadTar(Readable.from([raw("x", "0")]), `${at}/tree/f`)).rejects.toMatchObject({
      code: "FILE_TYPE",
    });
  });

  test("of any size take no memory, and a reader that stops stops the guest", async () => {
    const at = fresh();
    writeFileSync(join(at, "huge"), "");
    truncateSync(join(at, "huge"), 200 * 1024 * 1024);
    const before = process.memoryUsage().rss;
    let bytes = 0;
    let most = 0;
    const tar = spawn("tar", ["-c", "-C", at, "huge"], { stdio: ["ignore", "pipe", "inherit"] });
    await files.uploadTar(tar.stdout, `${at}/in`, {
      onProgress: () => {
        most = Math.max(most, process.memoryUsage().rss - before);
      },
    });
    expect(statSync(`${at}/in/huge`).size).toBe(200 * 1024 * 1024);
    for await (const chunk of await files.downloadTar(`${at}/huge`)) {
      bytes += (chunk as Buffer).length;
      most = Math.max(most, process.memoryUsage().rss - before);
    }
    expect(bytes).toBe(200 * 1024 * 1024 + 512 + 1024);
    expect(most).toBeLessThan(100 * 1024 * 1024);
    for await (const _ of await files.downloadTar(`${at}/huge`)) break;
    await until("the guest has stopped", () => session.streamCount === 0);
  });

  test("hold what nobody may read or enter, and it is so afterwards", async () => {
    const at = fresh();
    const closed = (name: string, type: string): Buffer => {
      const plain = { mode: 0, uid: 0, gid: 0, mtime: 1, size: 0, linkName: Buffer.alloc(0) };
      return encodeEntry({ ...plain, type, name: Buffer.from(name) });
    };
    writeFileSync(`${at}/there`, "replaced", { mode: 0o644 });
    const entries = [closed("d/", "5"), raw("d/f", "0", "", "in it"), closed("f", "0"), closed("there", "0")];
    await files.uploadTar(Readable.from([...entries, Buffer.alloc(1024)]), at);
    for (const name of ["d", "f", "there"]) expect(statSync(`${at}/${name}`).mode & 0o7777, name).toBe(0);
    chmodSync(`${at}/d`, 0o700);
    expect(readFileSync(`${at}/d/f`, "utf8")).toBe("in it");
  });

  test("leave out devices, make directories that nobody named, and keep the target's own mode", async () => {
    const at = fresh();
    chmodSync(at, 0o750);
    await exec("mkfifo", [`${at}/pipe`]);
    const source = fresh();
    await exec("mkfifo", [`${source}/pipe`]);
    mkdirSync(`${source}/a/b`, { recursive: true });
    writeFileSync(`${source}/a/b/f`, "f");
    const tar = spawn("tar", ["-c", "--no-recursion", "-C", source, "./", "pipe", "a/b/f"]);
    expect(await files.uploadTar(tar.stdout, at)).toMatchObject({
      entries: 1,
      skipped: [{ path: "pipe", reason: "a device or pipe" }],
    });
    expect(readFileSync(`${at}/a/b/f`, "utf8")).toBe("f");
    expect(statSync(at).mode & 0o777).toBe(0o750);
  });

  test.each<[string, Buffer[], string]>([
    ["climbs", [raw("../out", "0", "", "x")], "FILE_UNSAFE"],
    ["climbs in the middle", [raw("a/../../out", "0", "", "x")], "FILE_UNSAFE"],
    ["writes through its own symlink", [raw("a", "2", ".."), raw("a/out", "0", "", "x")], "FILE_TYPE"],
    [
      "makes a directory of its own symlink",
      [raw("a", "2", ".."), raw("a/", "5"), raw("a/out", "0")],
      "FILE_TYPE",
    ],
    ["links to what is outside", [raw("a", "1", "../precious")], "FILE_UNSAFE"],
    ["links through its own symlink", [raw("a", "2", ".."), raw("b", "1", "a/precious")], "FILE_TYPE"],
    ["links to what is not there", [raw("a", "1", "nothing")], "FILE_NOT_FOUND"],
    ["has no name", [raw(".", "0", "", "x")], "FILE_UNSAFE"],
    ["has a NUL in its target", [raw("a", "2")], "FILE_UNSAFE"],
  ])("whose entry %s are refused", async (_, pieces, code) => {
    const outer = fresh();
    writeFileSync(`${outer}/precious`, "precious");
    mkdirSync(`${outer}/in`);
    const failure = await files
      .uploadTar(Readable.from(pieces), `${outer}/in`)
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code });
    expect(readdirSync(outer).sort()).toEqual(["in", "precious"]);
    expect(readFileSync(`${outer}/precious`, "utf8")).toBe("precious");
    expect(statSync(`${outer}/precious`).nlink).toBe(1);
  });

  test("that are absolute are unpacked below the target", async () => {
    const at = fresh();
    await files.uploadTar(Readable.from([raw(`${at}/x`, "0", "", "x")]), `${at}/in`);
    expect(existsSync(`${at}/in/${at}/x`)).toBe(true);
    expect(existsSync(`${at}/x`)).toBe(false);
  });

  test("fail with the reason of whoever failed, and at once", async () => {
    const at = fresh();
    const broken = new Readable({ read() {} });
    const failed = files.uploadTar(broken, at);
    broken.push(raw("f", "0", "", "x"));
    broken.destroy(new Error("the disk is gone"));
    await expect(failed).rejects.toMatchObject({
      code: "HOST_FAILED",
      message: expect.stringContaining("the disk is gone"),
    });
    const endless = new Readable({ read() {} }); // never says anything
    await expect(files.uploadTar(endless, at, { timeoutMs: 100 })).rejects.toMatchObject({ code: "TIMEOUT" });
    const silent = new Readable({ read() {} });
    await expect(files.uploadTar(silent, "/dev/null/x")).rejects.toMatchObject({ code: "FILE_TYPE" });
    expect(endless.destroyed && silent.destroyed).toBe(true);
    await expect(files.uploadTar(Readable.from([Buffer.from("no archive")]), at)).rejects.toMatchObject({
      code: "FILE_FAILED",
    });
  });
});

describe("an archive from a lying guest", () => {
  async function download(records: readonly Draft<TreeRecord>[], options = {}): Promise<unknown> {
    await using guest = await FakeGuest.start({
      onOpen: (stream: FakeStream) => {
        if (stream.open.fileRead) stream.result({ error: { code: 5, message: "it is a directory" } });
        else
          stream
            .opened()
            .records(...records)
            .end(1)
            .result();
      },
    });
    const session = await guest.connect();
    const skipped: string[] = [];
    const onSkipped = ({ path, reason }: { path: string; reason: string }): void =>
      void skipped.push(`${path}: ${reason}`);
    const at = mkdtempSync(join(tmpdir(), "smolvm-lying-"));
    try {
      const stream = await new GuestFiles(async () => session).downloadTar("/tree", {
        onSkipped,
        ...options,
      });
      const archive = Buffer.concat(await stream.toArray());
      const tar = spawn("tar", ["-xp", "-C", at], { stdio: ["pipe", "ignore", "ignore"] });
      tar.stdin.end(archive);
      expect(await once(tar, "close")).toEqual([0, null]);
      return { holds: listing(at).map((line) => line.split(" ").slice(0, 3).join(" ")), skipped };
    } catch (error) {
      return error;
    } finally {
      await session.close();
      rmSync(at, { recursive: true });
    }
  }

  test("holds what an honest one sends", async () => {
    expect(await download([ROOT, directory("d"), ...file("d/f"), symlink("l", "d/f")])).toEqual({
      holds: [expect.stringMatching(/^tree\/ /), expect.stringMatching(/^tree\/d\/ /)].concat([
        expect.stringMatching(/^tree\/d\/f /),
        "tree/l -> d/f",
      ]),
      skipped: [],
    });
  });

  test.each<[string, readonly Draft<TreeRecord>[]]>([
    ["climbs", [ROOT, ...file("../x")]],
    ["is absolute", [ROOT, ...file("/etc/x")]],
    ["is in a directory that was not sent", [ROOT, ...file("d/f")]],
    ["is below a symlink", [ROOT, directory("d"), symlink("l", "d"), ...file("l/f")]],
    ["is below a directory that is over", [ROOT, directory("a"), directory("b"), ...file("a/f")]],
    ["is a hard link", [ROOT, entry("h", { type: 5, target: Buffer.from("/etc/passwd") })]],
    ["ends in the middle", [ROOT, file("f")[0]!]],
    ["is no directory", [entry("", { type: 1 })]],
  ])("whose entry %s ends in an error", async (_, records) => {
    expect(await download(records)).toMatchObject({ code: expect.stringMatching(/^FILE_(UNSAFE|TYPE)$/) });
  });

  test("is cut at the caller's limits, and never padded with what the guest did not send", async () => {
    expect(await download([ROOT, ...file("a"), ...file("b")], { maxEntries: 1 })).toMatchObject({
      code: "FILE_UNSAFE",
    });
    expect(await download([ROOT, ...file("a", "12345")], { maxBytes: 4 })).toMatchObject({
      code: "FILE_UNSAFE",
    });
    const big = Array.from({ length: 5 }, () => ({ data: Buffer.alloc(65_000) }));
    const lying = [ROOT, entry("f", { type: 1, size: 2 ** 45 }), ...big, { end: true }];
    expect(await download(lying)).toMatchObject({
      code: "FILE_FAILED",
      message: expect.stringContaining("shorter"),
    });
  });

  test("leaves out symlinks that lead out of it, and says so", async () => {
    expect(
      await download([ROOT, symlink("up", "../../x"), symlink("root", "/etc"), ...file("f")]),
    ).toMatchObject({
      holds: [expect.stringMatching(/^tree\/ /), expect.stringMatching(/^tree\/f /)],
      skipped: [
        "up: a symlink that leads out of the directory",
        "root: a symlink that leads out of the directory",
      ],
    });
  });

  test("of an agent that knows no hard links says so when they are sent", async () => {
    await using guest = await FakeGuest.start({
      onOpen: (stream) => {
        stream.opened();
        stream.onFrame = (type) => {
          if (type === FrameType.END)
            stream.result({ error: { code: 1, message: "the tree is malformed: an entry is no file" } });
        };
      },
    });
    const session = await guest.connect();
    const link = { mode: 0, uid: 0, gid: 0, mtime: 0, size: 0, type: "1", linkName: Buffer.from("f") };
    const archive = Readable.from([encodeEntry({ ...link, name: Buffer.from("h") })]);
    await expect(new GuestFiles(async () => session).uploadTar(archive, "/x")).rejects.toMatchObject({
      code: "NOT_SUPPORTED",
      hint: expect.stringContaining("--hard-dereference"),
    });
    await session.close();
  });
});
