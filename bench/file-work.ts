import { execFileSync } from "node:child_process";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkOutput } from "./stats.ts";

/** As a working tree has them: directories of a hundred files. */
const DIRECTORIES = 100;
const FILES_EACH = 100;
export const FILES: number = DIRECTORIES * FILES_EACH;
/** As an installation makes them. */
export const CREATED = 5000;

/** What is done in a directory, told in ms as the guest's clock counts them. */
const WORK = `
import os, subprocess, sys, time
kind, dir = sys.argv[1], sys.argv[2]
def status():
    argv = ["git", "-c", "safe.directory=*", "-C", dir, "status", "--porcelain"]
    return len(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout.splitlines())
if kind == "git": status()
if kind in ("cold", "make", "git"): os.sync(); open("/proc/sys/vm/drop_caches", "w").write("3")
def stat_all():
    n = 0
    for entry in os.scandir(dir):
        if entry.name == ".git": continue
        for file in os.scandir(entry.path):
            os.lstat(file.path); n += 1
    return n
if kind == "warm": stat_all()
before = time.perf_counter()
if kind in ("cold", "warm"): done = stat_all()
elif kind == "git": done = status()
elif kind == "make":
    os.mkdir(dir)
    for n in range(${CREATED}):
        if n % 50 == 0: os.mkdir(f"{dir}/{n // 50}")
        with open(f"{dir}/{n // 50}/{n}", "w") as f: f.write("x" * 500)
    done = ${CREATED}
elif kind == "remove":
    import shutil; shutil.rmtree(dir); done = ${CREATED}
elif kind == "read":
    open("/proc/sys/vm/drop_caches", "w").write("3"); before = time.perf_counter(); done = 0
    with open(dir, "rb", buffering=0) as f:
        while chunk := f.read(1 << 20): done += len(chunk)
print(done, (time.perf_counter() - before) * 1000)
`;

/** What a transfer is made of: a MiB. */
export const BLOCK: Buffer = Buffer.alloc(2 ** 20, "0123456789abcdef");

/** What is done in a guest's directory, or to its file: `expected` files or bytes, of `git` changes that it tells of. Resolves with the ms that it took. */
export type GuestWork = (
  kind: "cold" | "warm" | "git" | "make" | "remove" | "read",
  path: string,
  expected: number,
) => Promise<number>;

/** @param run runs a program in the guest and resolves with its stdout */
export function guestWork(run: (argv: readonly string[]) => Promise<string>): GuestWork {
  return async (kind, path, expected) => {
    const stdout = await run(["python3", "-c", WORK, kind, path]);
    const [done, ms] = stdout.trim().split(" ");
    checkOutput(done ?? "", String(expected));
    return Number(ms);
  };
}

/** Has git know a directory's files. */
export function commit(directory: string): void {
  const git = (...words: string[]): unknown => execFileSync("git", ["-C", directory, ...words]);
  git("init", "-q");
  git("add", "-A");
  git("-c", "user.name=x", "-c", "user.email=x@example.test", "commit", "-qm", "files");
}

/** Makes a `tree` of files, and a `blob` of so many MiB. */
export function fill(directory: string, mib: number): void {
  const tree = join(directory, "tree");
  for (let d = 0; d < DIRECTORIES; d++) {
    mkdirSync(join(tree, String(d)), { recursive: true });
    for (let f = 0; f < FILES_EACH; f++) writeFileSync(join(tree, String(d), String(f)), "content\n");
  }
  for (let i = 0; i < mib; i++) appendFileSync(join(directory, "blob"), BLOCK);
}
