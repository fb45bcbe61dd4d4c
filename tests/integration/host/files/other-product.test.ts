import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { processPaths } from "../../../../src/host/files/paths.ts";
import { cli } from "../../../helpers/cli.ts";

/*
 * Another program has the name smolvm, too, and keeps its files in the same directories, some of them in directories of the same
 * names as ours. All of them stay as they are: content, mode, owner, time.
 */

const DATA = ".local/share/smolvm";
const CACHE = ".cache/smolvm";
const RUN = "run/smolvm";
const HEX = "5f".repeat(32);
/** The id of none of our sandboxes; the first process id that no process has for long. */
const ID = "0123456789ab";
const DEAD = 4_194_303;
const THEIRS = [
  `${DATA}/storage.raw`,
  `${DATA}/agent-rootfs/bin/init`,
  `${CACHE}/vms/web/storage.raw`,
  `${CACHE}/vms/${ID}/console.log`,
  `${CACHE}/local-images/5f/layers/0`,
  `${CACHE}/work.tmp`,
  // In directories of the same names as ours, and under names such as ours are.
  `${DATA}/vms/web/disk.qcow2`,
  `${DATA}/vms/${ID}/disk.qcow2`,
  `${DATA}/vms/${ID}/console.log`,
  `${DATA}/snapshots/web/0001.img`,
  `${DATA}/snapshots/.index/0001`,
  `${RUN}/${ID}/api.pid`,
  `${CACHE}/download.${DEAD}.tmp`,
  `${CACHE}/images/sha256/${HEX}`,
  `${CACHE}/images/sha256/${HEX.replaceAll("5", "6")}/layer.tar`,
  `${CACHE}/images/work/job-1/layer.tar`,
  `${CACHE}/kernels/vmlinux-6.1`,
  `${CACHE}/kernels/source/linux.tar`,
  `${CACHE}/kernels/built/web/vmlinux`,
  `${CACHE}/kernels/extracted/vmlinux`,
  `${CACHE}/initrd/initrd.img`,
  `${CACHE}/templates/web/memory`,
  `${CACHE}/compile/objects/main.o`,
];
const THEIR_DATABASE = `${DATA}/server/smolvm.db`;
const THEIR_LINK = `${DATA}/current`;
const THEIR_SOCKETS = [`${RUN}/daemon.sock`, `${RUN}/web.sock`];

let home: string;
let env: Record<string, string | undefined>;
const servers: Server[] = [];

function put(file: string, content = file): void {
  mkdirSync(join(home, dirname(file)), { recursive: true });
  writeFileSync(join(home, file), content, { mode: 0o644 });
}

beforeAll(async () => {
  const { cacheDir } = processPaths();
  home = mkdtempSync(join(tmpdir(), "smo-"));
  mkdirSync(join(home, "run"), { mode: 0o700 });
  // What takes minutes to build, if it was; the rest of our cache is ours to make.
  for (const name of ["images", "kernels"].filter((name) => existsSync(join(cacheDir, name)))) {
    mkdirSync(join(home, CACHE), { recursive: true });
    try {
      execFileSync("cp", ["-al", join(cacheDir, name), join(home, CACHE, name)], { stdio: "pipe" });
    } catch {
      execFileSync("cp", ["-a", join(cacheDir, name), join(home, CACHE, name)]); // on another disk
    }
  }
  for (const file of THEIRS) put(file);
  mkdirSync(join(home, dirname(THEIR_DATABASE)), { recursive: true });
  const database = new DatabaseSync(join(home, THEIR_DATABASE));
  database.exec(
    "CREATE TABLE vms (uuid TEXT, spec_json TEXT); INSERT INTO vms VALUES ('1', '{}'); PRAGMA user_version = 3",
  );
  database.close();
  symlinkSync("storage.raw", join(home, THEIR_LINK));
  for (const socket of THEIR_SOCKETS) {
    const server = createServer();
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(join(home, socket), resolve));
  }
  for (const path of everything()) {
    if (path === THEIR_LINK) continue;
    if (lstatSync(join(home, path)).isDirectory()) chmodSync(join(home, path), 0o755);
    utimesSync(join(home, path), 1_600_000_000, 1_600_000_000);
  }
  env = {
    HOME: home,
    SMOLVM_HOME: undefined,
    XDG_DATA_HOME: undefined,
    XDG_CACHE_HOME: undefined,
    XDG_RUNTIME_DIR: join(home, "run"),
    SMOLVM_TEMPLATE: "off",
  };
});
afterAll(async () => {
  for (const server of servers) await new Promise((resolve) => server.close(resolve));
  rmSync(home, { recursive: true, force: true });
});

/** All that is theirs: files, links, sockets, and the directories that these are in. */
function everything(): string[] {
  const files = [...THEIRS, THEIR_DATABASE, THEIR_LINK, ...THEIR_SOCKETS];
  const directories = new Set<string>();
  for (const file of files)
    for (
      let path = dirname(file);
      path !== "run" && path !== ".cache" && path !== ".local/share";
      path = dirname(path)
    )
      directories.add(path);
  return [...files, ...directories].sort();
}

/** What somebody could notice of it. What we put into a directory changes its time, and nothing else. */
function theirs(): unknown[] {
  return everything().map((path) => {
    const full = join(home, path);
    const stat = lstatSync(full);
    const facts = [path, stat.mode.toString(8), stat.uid, stat.gid];
    if (stat.isDirectory()) return facts;
    if (stat.isSymbolicLink()) return [...facts, readlinkSync(full)];
    return [...facts, stat.mtimeMs, stat.isFile() ? readFileSync(full, "latin1") : ""];
  });
}

test("what another program of the same name keeps in the same directories stays as it is", async () => {
  const before = theirs();
  for (const line of [
    "ls",
    "create --name box --network off",
    "start box",
    "exec box -- true",
    "info box",
    "gc",
    "stop box",
    "doctor --backend qemu",
    "image ls",
    "image prune -f",
    "rm box",
    "gc",
    "image prune -f",
  ]) {
    const { code, stderr } = await cli(line.split(" "), { env });
    expect(code === 0 || line.startsWith("doctor"), `${line}: ${stderr}`).toBe(true);
    expect(theirs(), line).toEqual(before);
  }
  expect(readdirSync(join(home, DATA, "vms")).sort()).toEqual([ID, "web"]); // and of ours nothing is left
  expect(readdirSync(join(home, RUN)).sort()).toEqual([ID, "daemon.sock", "web.sock"]);
});

test("a database of theirs under the name of our store is told, and not changed", async () => {
  const own = mkdtempSync(join(tmpdir(), "smo-"));
  try {
    for (const setting of [
      "user_version = 0",
      "user_version = 2",
      "user_version = 12",
      "user_version = 1000",
    ]) {
      const path = join(own, DATA, "store.db");
      mkdirSync(dirname(path), { recursive: true });
      rmSync(path, { force: true });
      const database = new DatabaseSync(path);
      database.exec(`CREATE TABLE vms (uuid TEXT); PRAGMA ${setting}`);
      database.close();
      chmodSync(path, 0o644);
      const before = readFileSync(path);
      for (const line of ["ls", "gc"]) {
        const { code, stderr } = await cli([...line.split(" "), "--verbose"], {
          env: { ...env, HOME: own, XDG_RUNTIME_DIR: join(home, "run") },
        });
        expect({ code, stderr }, setting).toMatchObject({
          code: 1,
          stderr: expect.stringContaining("STORE_INVALID"),
        });
        expect(stderr).toContain("Another program keeps it there.");
      }
      expect(readFileSync(path).equals(before)).toBe(true);
      expect((lstatSync(path).mode & 0o777).toString(8)).toBe("644");
      expect(readdirSync(dirname(path)).filter((name) => name.startsWith("store"))).toEqual(["store.db"]);
    }
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
});
