import { cpSync, mkdtempSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SmolVM } from "../../src/index.ts";
import { fill } from "../file-work.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, type Samples, toRow } from "../stats.ts";

const COMPILER = `node_modules/@typescript/typescript-linux-${process.arch}`;
/** What a build of this project reads. */
const PROJECT = [
  ...["src", "package.json", "tsconfig.json", "tsconfig.build.json", COMPILER],
  ...[
    "@types",
    "undici-types",
    "dockerfile-ast",
    "vscode-languageserver-types",
    "vscode-languageserver-textdocument",
  ].map((name) => `node_modules/${name}`),
];

/** Runs a tool in a directory: how many lines it printed or files it wrote, and the ms that it took as the guest's clock counts them. */
const WORK = `
import glob, os, shutil, subprocess, sys, time
kind, dir = sys.argv[1], sys.argv[2]
os.chdir(dir)
shutil.rmtree("dist", ignore_errors=True)
if kind == "cold": os.sync(); open("/proc/sys/vm/drop_caches", "w").write("3")
argv = ["${COMPILER}/lib/tsc", "-p", "tsconfig.build.json"] if kind == "build" else ["git", "status", "--porcelain"]
before = time.perf_counter()
out = subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout
ms = (time.perf_counter() - before) * 1000
print(len(glob.glob("dist/**/*.js", recursive=True)) if kind == "build" else len(out.splitlines()), ms)
`;

/** Row 18c: what people run in a directory of the host, beside the guest's own disk: `git status` of 10,000 files, and a build of this project. */
export async function mountsTools({ target, n = 3 }: Setting): Promise<Measurement[]> {
  const host = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-bench-")));
  const root = join(import.meta.dirname, "../..");
  fill(host, 0);
  for (const path of PROJECT)
    cpSync(join(root, path), join(host, "project", path), { recursive: true, dereference: true });
  const sources = readdirSync(join(host, "project", "src"), { recursive: true, encoding: "utf8" });
  const built = sources.filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts")).length;
  try {
    await using vm = await SmolVM.create({
      ...target,
      memSizeMib: 1536,
      mounts: [{ host, guest: "/mnt/host", mode: "rw" }],
    });
    const runs = { check: true, timeoutMs: 1_200_000 } as const;
    const git = "git -c user.name=x -c user.email=x@example.test";
    await vm.run(
      `cd /mnt/host/tree && git init -q && git add -A && ${git} commit -qm files && cp -a /mnt/host /root/own && sync`,
      runs,
    );
    const does = (kind: string, dir: string, expected: number) => async (): Promise<number> => {
      const [done, ms] = (await vm.run(["python3", "-c", WORK, kind, dir], runs)).stdout.trim().split(" ");
      checkOutput(done!, String(expected));
      return Number(ms);
    };
    const pair = async (
      kind: string,
      directory: string,
      expected: number,
      rounds: number,
    ): Promise<Samples> =>
      await interleave(rounds, {
        ours: does(kind, `/mnt/host/${directory}`, expected),
        floor: does(kind, `/root/own/${directory}`, expected),
      });
    return [
      row("git status of 10,000 files, warm, own disk", await pair("warm", "tree", 0, n)),
      row("git status of 10,000 files, cold, own disk", await pair("cold", "tree", 0, n)),
      row("tsc builds this project, own disk", await pair("build", "project", built, Math.min(n, 2))),
    ];
  } finally {
    rmSync(host, { recursive: true, force: true });
  }
}

function row(name: string, samples: Samples): Measurement {
  return { samples, row: toRow({ row: "18c", name, unit: "ms", goal: "(told)" }, samples, () => true) };
}
