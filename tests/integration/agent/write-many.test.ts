import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { GuestFiles } from "../../../src/agent/files/guest-files.ts";
import type { AgentSession } from "../../../src/agent/session/session.ts";
import { AGENT_IS_ROOT, agentMissing, useAgent } from "../../helpers/agent.ts";

const missing = agentMissing();
if (missing) console.warn(`skipped: ${missing}`);

describe.skipIf(missing)("many files written at once", () => {
  let session: AgentSession;
  let files: GuestFiles;
  const directory = useAgent((guest) => {
    ({ session, files } = guest);
  });

  test("are where they belong, with the directories above them", async () => {
    const at = directory();
    const here = new GuestFiles(
      async () => session,
      () => ({ workdir: `${at}/w` }),
    );
    const big = Buffer.alloc(1_000_000, "0123456789");
    await here.writeMany([
      { path: "b/c/deep", content: "deep" },
      { path: "./a", content: "grüße", mode: 0o750, mtime: new Date(1_500_000_000_250) },
      { path: `${at}/w/b/big`, content: big },
      { path: "b//c/empty", content: new Uint8Array() },
    ]);
    expect((await files.list(`${at}/w`, { depth: 9 })).map(({ path }) => path.slice(at.length))).toEqual([
      ...["/w/a", "/w/b", "/w/b/big", "/w/b/c", "/w/b/c/deep", "/w/b/c/empty"],
    ]);
    expect(readFileSync(`${at}/w/a`, "utf8")).toBe("grüße");
    expect(readFileSync(`${at}/w/b/big`).equals(big)).toBe(true);
    const { mode, mtimeMs } = lstatSync(`${at}/w/a`);
    expect([mode & 0o7777, mtimeMs]).toEqual([0o750, 1_500_000_000_250]);
    expect(lstatSync(`${at}/w/b/c/deep`).mode & 0o7777).toBe(0o644);
    await here.writeMany([]);
    const many = Array.from({ length: 2000 }, (_, n) => ({ path: `m/${n % 10}/${n}`, content: `${n}` }));
    await here.writeMany(many);
    expect(await here.list("m", { depth: 2 })).toHaveLength(2010);
    expect(await here.readText("m/9/1999")).toBe("1999");
  });

  test("keep the mode and owner of what they replace, which a symlink is, too", async () => {
    const at = directory();
    writeFileSync(`${at}/program`, "old");
    const owner = AGENT_IS_ROOT ? 65534 : process.getuid!();
    if (AGENT_IS_ROOT) chownSync(`${at}/program`, owner, owner);
    chmodSync(`${at}/program`, 0o755);
    writeFileSync(`${at}/linked`, "old");
    symlinkSync("linked", `${at}/link`);
    await files.writeMany(["program", "link"].map((name) => ({ path: `${at}/${name}`, content: "new" })));
    expect(await files.stat(`${at}/program`)).toMatchObject({ mode: 0o755, uid: owner, size: 3 });
    expect(lstatSync(`${at}/link`).isFile()).toBe(true);
    expect(readFileSync(`${at}/linked`, "utf8")).toBe("old");
  });

  test("follow symlinks to the directory that has them all, and none below it", async () => {
    const at = directory();
    mkdirSync(`${at}/real/sub`, { recursive: true });
    symlinkSync("real", `${at}/alias`);
    await files.writeMany([
      { path: `${at}/alias/a`, content: "1" },
      { path: `${at}/alias/sub/b`, content: "2" },
    ]);
    expect((await readdir(`${at}/real`)).sort()).toEqual(["a", "sub"]);
    const through = files.writeMany([
      { path: `${at}/alias/c`, content: "1" },
      { path: `${at}/d`, content: "1" },
    ]);
    await expect(through).rejects.toMatchObject({ code: expect.stringMatching(/^FILE_(TYPE|EXISTS)$/) });
    expect(await readdir(`${at}/real`)).not.toContain("c");
  });

  test("are refused before anything is sent if one of them cannot be", async () => {
    const at = directory();
    const fine = { path: `${at}/fine`, content: "" };
    for (const wrong of [
      { path: `${at}/../x`, content: "" },
      { path: `${at}/x/`, content: "" },
      { path: "", content: "" },
      { path: `${at}/./fine`, content: "twice" },
      { path: `${at}/x`, content: 5 },
      { path: `${at}/x`, content: "", mode: 0 },
      { path: `${at}/x`, content: "", mtime: 5 },
      { path: `${at}/x`, contents: "" },
      { path: `${at}/x`, content: "", parents: true },
      null,
    ]) {
      await expect(files.writeMany([fine, wrong as never])).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    }
    await expect(files.writeMany(fine as never)).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    expect(await readdir(at)).toEqual([]);
  });
});
