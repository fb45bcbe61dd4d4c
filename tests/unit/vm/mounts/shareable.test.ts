import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { requireUnmoved, shareable, whyNot } from "../../../../src/vm/mounts/shareable.ts";

const dir = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-share-")));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const paths = { dataDir: join(dir, "data"), cacheDir: join(dir, "cache"), runtimeDir: join(dir, "run") };
for (const name of ["data/vms", "src", "work/deep"]) mkdirSync(join(dir, name), { recursive: true });
writeFileSync(join(dir, "file"), "");
symlinkSync("src", join(dir, "link"));

test("a directory is kept as the kernel resolves it", () => {
  expect(shareable({ host: join(dir, "work", "..", "src"), guest: "/w/" }, paths)).toEqual({
    host: join(dir, "src"),
    guest: "/w",
    mode: "ro",
    coherence: "events",
    file: false,
  });
  expect(shareable({ host: join(dir, "file"), guest: "/f", mode: "rw" }, paths)).toMatchObject({
    file: true,
  });
});

test("what nobody shares without meaning it takes a second word", () => {
  for (const host of ["/", join(dir, "data"), join(dir, "data", "vms"), dir, join(dir, "link")]) {
    expect(() => shareable({ host, guest: "/w" }, paths), host).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID", hint: expect.stringContaining("--yes-share-it") }),
    );
    expect(shareable({ host, guest: "/w", shareAnyway: true }, paths).host).toBe(realpathSync(host));
  }
});

test("reasons", () => {
  expect(whyNot("/home/u", "/home/u", [], "/home/u")).toContain("home directory");
  expect(whyNot("/home", "/home", [], "/home/u")).toContain("home directory");
  expect(whyNot("/home/u/src", "/home/u/src", [], "/home/u")).toBeUndefined();
  expect(whyNot("/home/user", "/home/user", [], "/home/u")).toBeUndefined();
  expect(whyNot("/a", "/b", [], "/home/u")).toContain("symlink");
});

test("what is not there, or is no directory or file, is told", () => {
  expect(() => shareable({ host: join(dir, "none"), guest: "/w" }, paths)).toThrow(
    expect.objectContaining({ code: "FILE_NOT_FOUND" }),
  );
  expect(() => shareable({ host: "/dev/null", guest: "/w" }, paths)).toThrow(
    expect.objectContaining({ code: "FILE_TYPE" }),
  );
  expect(() => shareable({ host: join(dir, "file"), guest: "/w", mode: "overlay" }, paths)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID" }),
  );
});

test("a link that takes the place of a directory leads nowhere", () => {
  const mount = shareable({ host: join(dir, "work", "deep"), guest: "/w" }, paths);
  requireUnmoved(mount);
  rmSync(mount.host, { recursive: true });
  symlinkSync(join(dir, "src"), mount.host);
  expect(() => requireUnmoved(mount)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
});
