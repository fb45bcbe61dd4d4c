import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { processPaths } from "../../../../src/host/files/paths.ts";
import { cli } from "../../../helpers/cli.ts";

/*
 * Another program has the name smolvm, too, and keeps its files in the same directories. All of them stay as they are.
 */

const DATA = ".local/share/smolvm";
const CACHE = ".cache/smolvm";
const THEIRS = [
  `${DATA}/storage.raw`,
  `${DATA}/server/smolvm.db`,
  `${DATA}/agent-rootfs/bin/init`,
  `${CACHE}/vms/web/storage.raw`,
  `${CACHE}/vms/0123456789ab/console.log`,
  `${CACHE}/local-images/5f/layers/0`,
  `${CACHE}/work.tmp`,
];

let home: string;
let env: Record<string, string | undefined>;
beforeAll(() => {
  const { cacheDir } = processPaths();
  home = mkdtempSync(join(tmpdir(), "smo-"));
  for (const file of THEIRS) {
    mkdirSync(join(home, dirname(file)), { recursive: true });
    writeFileSync(join(home, file), file);
  }
  for (const directory of ["", ".cache", ".local", ".local/share", DATA, CACHE])
    chmodSync(join(home, directory), 0o755);
  // What takes minutes to build, if it was; the rest of our cache is ours to make.
  for (const name of ["images", "kernels"].filter((name) => existsSync(join(cacheDir, name)))) {
    try {
      execFileSync("cp", ["-al", join(cacheDir, name), join(home, CACHE, name)], { stdio: "pipe" });
    } catch {
      execFileSync("cp", ["-a", join(cacheDir, name), join(home, CACHE, name)]); // on another disk
    }
  }
  env = {
    HOME: home,
    SMOLVM_HOME: undefined,
    XDG_DATA_HOME: undefined,
    XDG_CACHE_HOME: undefined,
    XDG_RUNTIME_DIR: undefined,
  };
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** Everything there was, with what somebody could notice. */
function theirs(): unknown[] {
  const directories = new Set(THEIRS.flatMap((file) => [dirname(file), dirname(dirname(file))]));
  return [...THEIRS, ...directories].sort().map((path) => {
    const { mode, size, mtimeMs, uid } = lstatSync(join(home, path));
    const shared = path === DATA || path === CACHE || directories.has(path);
    return [path, mode.toString(8), uid, shared ? readdirSync(join(home, path)).length > 0 : [size, mtimeMs]];
  });
}

test("what another program of the same name keeps in the same directories stays as it is", async () => {
  const before = theirs();
  for (const line of [
    "ls",
    "create --name box --network off",
    "info box",
    "gc",
    "doctor --backend qemu",
    "image prune -f",
    "rm box",
    "gc",
  ]) {
    const { code, stderr } = await cli(line.split(" "), { env });
    expect(code === 0 || line.startsWith("doctor"), `${line}: ${stderr}`).toBe(true);
  }
  expect(theirs()).toEqual(before);
  expect(readdirSync(join(home, DATA)).sort()).toEqual(
    expect.arrayContaining(["agent-rootfs", "server", "storage.raw", "store.db"]),
  );
});
