import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import { FrameType } from "../../../src/agent/wire/frame.ts";
import type { TreeRecord } from "../../../src/agent/wire/messages.ts";
import type { Draft } from "../../../src/agent/wire/schema.ts";
import { directory, entry, FakeGuest, type FakeStream, file, ROOT, symlink } from "../../fakes/fake-guest.ts";

type Records = readonly Draft<TreeRecord>[];

const IS_DIRECTORY = { error: { code: 5, message: "it is a directory" } };

/** A guest whose every path is a directory with what `send` sends. */
function guestWith(send: (stream: FakeStream) => void): Promise<FakeGuest> {
  return FakeGuest.start({
    onOpen: (stream) => {
      if (stream.open.fileRead) stream.result(IS_DIRECTORY);
      else send(stream.opened());
    },
  });
}

const sends = (records: Records) => (stream: FakeStream) =>
  void stream
    .records(...records)
    .end(1)
    .result();

describe("a tree from a lying guest", () => {
  /** outer/ holds everything that must stay as it is; the target is outer/inner/target */
  let outer: string;
  let target: string;
  beforeEach(() => {
    outer = mkdtempSync(join(tmpdir(), "smolvm-hostile-"));
    mkdirSync(join(outer, "inner"));
    writeFileSync(join(outer, "precious"), "precious");
    target = join(outer, "inner", "target");
  });
  afterEach(() => rmSync(outer, { recursive: true, force: true }));

  async function download(send: (stream: FakeStream) => void, options = {}): Promise<unknown> {
    await using guest = await guestWith(send);
    const session = await guest.connect();
    const files = new GuestFiles(async () => session);
    try {
      return await files.download("/tree", target, options);
    } catch (error) {
      return error;
    } finally {
      await session.close();
    }
  }

  const LIES: [string, Records][] = [
    ["'..' as a name", [ROOT, entry("..", { type: 2 })]],
    ["a path that climbs out", [ROOT, ...file("../precious")]],
    ["a path that climbs out further down", [ROOT, directory("a"), ...file("a/../../precious")]],
    ["an absolute path", [ROOT, ...file("/tmp/smolvm-must-not-exist")]],
    ["'.' as a name", [ROOT, ...file(".")]],
    ["a path through '.'", [ROOT, ...file("./a")]],
    ["an empty component", [ROOT, directory("a"), ...file("a//b")]],
    ["a slash at the end", [ROOT, directory("a/")]],
    ["a NUL in a name", [ROOT, ...file("a\0b")]],
    ["a second root", [ROOT, ROOT]],
    ["no root", [...file("a")]],
    ["a root that is a file", [entry("", { type: 1 }), { data: Buffer.from("x") }, { end: true }]],
    ["a root that is a symlink", [entry("", { type: 3, target: Buffer.from("/etc") })]],
    ["nothing at all", []],
    ["a symlink and then a file through it", [ROOT, symlink("a", ".."), ...file("a/precious")]],
    [
      "a symlink inside and then a file through it",
      [ROOT, directory("d"), symlink("a", "d"), ...file("a/f")],
    ],
    ["a file and then the symlink of the same name", [ROOT, ...file("a"), symlink("a", "b")]],
    ["a symlink and then a file of the same name", [ROOT, symlink("a", "b"), ...file("a")]],
    [
      "a symlink and then a directory of the same name",
      [ROOT, symlink("a", "b"), directory("a"), ...file("a/b")],
    ],
    ["two symlinks of the same name", [ROOT, symlink("a", "b"), symlink("a", "c")]],
    ["a file twice", [ROOT, ...file("a"), ...file("a", "again")]],
    [
      "a large file twice",
      [
        ROOT,
        ...file("a", "x".repeat(60_000)),
        entry("a"),
        { data: Buffer.alloc(60_000) },
        { data: Buffer.alloc(60_000) },
        { end: true },
      ],
    ],
    ["a directory twice", [ROOT, directory("a"), directory("a")]],
    ["a directory where a file is", [ROOT, ...file("a"), directory("a")]],
    ["a file where a directory is", [ROOT, directory("a"), ...file("a")]],
    ["a file below a file", [ROOT, ...file("a"), ...file("a/b")]],
    ["a directory that was not sent", [ROOT, ...file("a/b")]],
    ["a device", [ROOT, entry("a", { type: 4 })]],
    ["a type from nowhere", [ROOT, entry("a", { type: 9 })]],
    ["type 0", [ROOT, entry("a", { type: 0 })]],
    ["content without a file", [ROOT, { data: Buffer.from("x") }]],
    ["content for a directory", [ROOT, directory("a"), { data: Buffer.from("x") }]],
    ["an end without a file", [ROOT, { end: true }]],
    ["an entry inside a file", [ROOT, entry("a"), ...file("b")]],
    ["a file without its end", [ROOT, entry("a"), { data: Buffer.from("x") }]],
    ["a record that is two things", [ROOT, { ...entry("a"), end: true }]],
    ["a record that is nothing", [ROOT, {}]],
    ["a name of 256 bytes", [ROOT, ...file("x".repeat(256))]],
    ["a path of 4,097 bytes", [ROOT, ...file(`${"x/".repeat(2048)}x`)]],
    [
      "257 directories in each other",
      [
        ROOT,
        ...Array.from({ length: 257 }, (_, n) =>
          directory(
            Array(n + 1)
              .fill("d")
              .join("/"),
          ),
        ),
      ],
    ],
    ["a piece of 65,001 bytes", [ROOT, entry("a"), { data: Buffer.alloc(65_001) }, { end: true }]],
  ];

  test.each(LIES)("with %s is refused and writes nothing", async (_name, records) => {
    expect(await download(sends(records))).toMatchObject({
      code: expect.stringMatching(/^FILE_(UNSAFE|TYPE)$/),
    });
    expect(readdirSync(outer).sort()).toEqual(["inner", "precious"]);
    expect(readdirSync(join(outer, "inner"))).toEqual([]);
    expect(readFileSync(join(outer, "precious"), "utf8")).toBe("precious");
  });

  test.each(LIES)(
    "with %s is refused and changes nothing in a directory that exists",
    async (_name, records) => {
      mkdirSync(target);
      writeFileSync(join(target, "mine"), "mine");
      expect(await download(sends(records))).toBeInstanceOf(Error);
      expect(readdirSync(join(outer, "inner"))).toEqual(["target"]);
      expect(readdirSync(target)).toEqual(["mine"]);
      expect(readFileSync(join(outer, "precious"), "utf8")).toBe("precious");
    },
  );

  test("keeps of its symlinks those that stay inside, and names the others", async () => {
    const result = await download(
      sends([
        ROOT,
        directory("d"),
        directory("d/e"),
        symlink("ok-file", "d/f"),
        symlink("d/e/ok-root", "../.."),
        symlink("d/ok-self", "."),
        symlink("bad-absolute", "/etc/passwd"),
        symlink("bad-up", ".."),
        symlink("d/bad-up", "../../x"),
        symlink("bad-through", "d/../.."),
        // Reads as "x", and would lead out by way of d/e/ok-root.
        symlink("bad-sideways", "d/e/ok-root/../precious"),
        symlink("bad-empty", ""),
        symlink("bad-nul", "a\0b"),
        symlink("bad-long", "x".repeat(5000)),
      ]),
    );
    expect((result as { skipped: { path: string }[] }).skipped.map(({ path }) => path)).toEqual([
      "bad-absolute",
      "bad-up",
      "d/bad-up",
      "bad-through",
      "bad-sideways",
      "bad-empty",
      "bad-nul",
      "bad-long",
    ]);
    expect(readdirSync(target).sort()).toEqual(["d", "ok-file"]);
    expect(await readlink(join(target, "d", "e", "ok-root"))).toBe("../..");
  });

  test("never gets set-user-id files, and times that a disk can hold", async () => {
    await download(
      sends([ROOT, entry("a", { mode: 0o6777, mtimeS: 2 ** 53 - 1, mtimeNs: 2 ** 32 - 1 }), { end: true }]),
    );
    const stats = await lstat(join(target, "a"));
    expect(stats.mode & 0o7777).toBe(0o777);
    expect(Number.isFinite(stats.mtimeMs)).toBe(true);
  });

  test("does not follow the user's own symlinks below the target", async () => {
    mkdirSync(target);
    mkdirSync(join(outer, "elsewhere"));
    symlinkSync("../../elsewhere", join(target, "link"));
    symlinkSync("../../precious", join(target, "precious"));
    expect(await download(sends([ROOT, directory("link"), ...file("link/f")]))).toMatchObject({
      code: "FILE_TYPE",
    });
    expect(readdirSync(join(outer, "elsewhere"))).toEqual([]);
    await download(sends([ROOT, ...file("precious", "new")]));
    expect(readFileSync(join(outer, "precious"), "utf8")).toBe("precious");
    expect(readFileSync(join(target, "precious"), "utf8")).toBe("new");
  });

  test("with endless entries is stopped at the limit, whatever they are", async () => {
    for (const make of [directory, (path: string) => symlink(path, "x")]) {
      const error = await download(
        (stream) => {
          let n = 0;
          const pump = (): void => {
            if (stream.saw(FrameType.RESET)) stream.result({ error: { code: 11 } });
            else
              stream.records(
                ...(n === 0 ? [ROOT] : []),
                ...Array.from({ length: 500 }, () => make(`e${n++}`)),
              );
          };
          stream.onFrame = pump;
          // Half a window at a time, so that credit is never exceeded.
          for (let i = 0; i < 10; i++) pump();
        },
        { maxEntries: 3000 },
      );
      expect(error).toMatchObject({ code: "FILE_UNSAFE", message: /more than 3000 entries/ });
    }
    expect(readdirSync(join(outer, "inner"))).toEqual([]);
  });

  test("that ends without its END, or with an error, or with the session, leaves nothing", async () => {
    const good: Records = [ROOT, ...file("a"), directory("d"), ...file("d/b", "x".repeat(50_000))];
    expect(await download((stream) => void stream.records(...good).result())).toMatchObject({
      code: "AGENT_PROTOCOL",
    });
    expect(
      await download(
        (stream) => void stream.records(...good).result({ error: { code: 9, message: "disk trouble" } }),
      ),
    ).toMatchObject({ code: "FILE_FAILED" });
    expect(
      await download((stream) => {
        stream.records(...good);
        stream.connection.socket.end();
      }),
    ).toMatchObject({ code: "AGENT_LOST" });
    expect(await download((stream) => void stream.data(1, Buffer.from([0x80, 0x80, 0x80, 1])))).toMatchObject(
      {
        code: "AGENT_PROTOCOL",
      },
    );
    expect(readdirSync(join(outer, "inner"))).toEqual([]);
    expect(await download(sends(good))).toMatchObject({ entries: 3, bytes: 50_007, skipped: [] });
    expect(readdirSync(target).sort()).toEqual(["a", "d"]);
  });

  test("names its entry escaped", async () => {
    const error = (await download(sends([ROOT, ...file("../\x1b[2Jevil")]))) as Error;
    expect(error.message).toContain("'../\\x1b[2Jevil'");
  });
});
