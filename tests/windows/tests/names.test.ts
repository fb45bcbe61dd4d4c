/** Names and paths that Windows and a Linux guest see differently, both ways. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { cli } from "../../helpers/cli.ts";
import { done } from "../../helpers/walk.ts";
import { leavesNothing } from "../../helpers/windows-home.ts";

leavesNothing();

const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
let vm: SmolVM;
let directory: string;
let count = 0;
beforeAll(async () => {
  vm = await SmolVM.create({ ...small("qemu"), name: "names" });
});
afterAll(async () => {
  await vm.delete();
});
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smolvm-names-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** A fresh directory of the guest with these files in it; each has its own name in it. */
async function guestTree(names: readonly string[]): Promise<string> {
  const root = `/root/tree${count++}`;
  const python =
    "import os,sys\nfor p in sys.argv[1:]: os.makedirs(os.path.dirname(p), exist_ok=True); open(p,'w').write(p)";
  await vm.run(["python3", "-c", python, ...names.map((name) => `${root}/${name}`)], { check: true });
  return root;
}

// Node itself would make all of them, and no other program could open or remove them.
const IMPOSSIBLE: readonly (readonly [string, string])[] = [
  ["aux", "is a device on Windows"],
  ["con.txt", "is a device on Windows"],
  ["deep/LPT1", "is a device on Windows"],
  ["a:b", "a character in its name that Windows does not allow"],
  ["what?", "a character in its name that Windows does not allow"],
  ["..\\..\\up", "a character in its name that Windows does not allow"],
  ["end.", "ends in a dot or space"],
  ["end ", "ends in a dot or space"],
];

test("a directory with such a name in it is refused whole, and says why", async () => {
  const root = await guestTree(
    IMPOSSIBLE.flatMap(([name], index) => [`${index}/before`, `${index}/${name}`]),
  );
  for (const [index, [, why]] of IMPOSSIBLE.entries()) {
    await expect(vm.files.download(`${root}/${index}`, join(directory, "out"))).rejects.toMatchObject({
      code: "FILE_UNSAFE",
      message: expect.stringContaining(why),
    });
  }
  expect(readdirSync(directory)).toEqual([]);
});

test("a file is not written under such a name, nor below one", async () => {
  const root = await guestTree(["file"]);
  for (const [name, why] of IMPOSSIBLE.filter(([name]) => !/[\\/]/.test(name))) {
    for (const target of [join(directory, name), `${directory}\\${name}\\file`])
      await expect(vm.files.download(`${root}/file`, target, { parents: true })).rejects.toMatchObject({
        code: "CONFIG_INVALID",
        message: expect.stringContaining(why),
      });
  }
  expect(readdirSync(directory)).toEqual([]);
});

test("cp into a directory keeps a file's own name, unless Windows would make a device or a path of it", async () => {
  const root = await guestTree(["fine", "nul.txt", "..\\up"]);
  await done(["cp", `names:${root}/fine`, directory]);
  expect(readFileSync(join(directory, "fine"), "utf8")).toBe(`${root}/fine`);
  const refusals = [
    await cli(["cp", `names:${root}/nul.txt`, directory]),
    await cli(["cp", `names:${root}/..\\up`, directory]),
  ];
  expect(refusals[0]!.stderr).toContain("is a device on Windows");
  expect(refusals[1]!.stderr).toContain("Windows takes the backslash for a directory's end");
  expect(readdirSync(directory)).toEqual(["fine"]);
});

test.runIf(LONG)("names that differ in case alone are refused; one that is there is replaced", async () => {
  const clash = await guestTree(["readme", "README"]);
  await expect(vm.files.download(clash, join(directory, "out"))).rejects.toMatchObject({
    code: "FILE_UNSAFE",
    message: expect.stringContaining("in a way that this disk ignores"),
  });
  expect(readdirSync(directory)).toEqual([]);
  writeFileSync(join(directory, "ReadMe"), "old");
  const one = await guestTree(["readme"]);
  await vm.files.download(one, directory);
  expect(readdirSync(directory).map((name) => name.toLowerCase())).toEqual(["readme"]);
  expect(readFileSync(join(directory, "readme"), "utf8")).toBe(`${one}/readme`);
});

/** A directory below another one, whose path is longer than Windows' old limit. */
function farBelow(root: string): { names: string[]; deep: string } {
  const names = Array.from({ length: 9 }, (_, index) => `${"long".repeat(13)}${index}`);
  const deep = join(root, ...names);
  mkdirSync(deep, { recursive: true });
  writeFileSync(join(deep, "file"), "far down");
  expect(join(deep, "file").length).toBeGreaterThan(500);
  return { names, deep };
}

test.runIf(LONG)(
  "paths far beyond 260 characters go into the guest, and come back below a short one",
  async () => {
    const { names, deep } = farBelow(directory);
    await vm.files.upload(directory, "/root/long");
    expect(await vm.files.readText(`/root/long/${names.join("/")}/file`)).toBe("far down");
    await done(["cp", join(deep, "file"), "names:/root/one"]);
    expect(await vm.files.readText("/root/one")).toBe("far down");
    await vm.files.download("/root/long", join(directory, "again"));
    expect(readFileSync(join(directory, "again", ...names, "file"), "utf8")).toBe("far down");
  },
);

test.runIf(LONG)("paths far beyond 260 characters come here", async () => {
  const { names, deep } = farBelow(directory);
  await vm.files.upload(directory, "/root/far");
  await vm.files.download("/root/far", join(deep, "again"));
  expect(readFileSync(join(deep, "again", ...names, "file"), "utf8")).toBe("far down");
  await done(["cp", "names:/root/far", join(deep, "two")]);
  expect(readFileSync(join(deep, "two", ...names, "file"), "utf8")).toBe("far down");
});

test("what comes from Windows, which has no modes, can be entered and run; paths with backslashes name what they end in", async () => {
  const tree = join(directory, "tree");
  mkdirSync(join(tree, "sub"), { recursive: true });
  writeFileSync(join(tree, "sub", "script"), "#!/bin/sh\necho ran as $(id -u)\n");
  await done(["cp", tree, "names:/srv"]);
  await done(["cp", join(tree, "sub", "script"), "names:/srv"]);
  const { stdout } = await vm.run("/srv/tree/sub/script; /srv/script; stat -c %a /srv/tree/sub /srv/script", {
    user: "nobody",
    check: true,
  });
  expect(stdout).toBe("ran as 65534\nran as 65534\n755\n755\n");
});

test.runIf(LONG)("a file that may not be written in the guest can be copied over again", async () => {
  const root = await guestTree(["kept"]);
  await vm.run(["chmod", "-R", "a-w", root], { check: true });
  for (let turn = 0; turn < 2; turn++) {
    await vm.files.download(`${root}/kept`, join(directory, "kept"));
    await vm.files.download(root, join(directory, "tree"));
  }
  expect(readFileSync(join(directory, "tree", "kept"), "utf8")).toBe(`${root}/kept`);
});
