/**
 * fsx on a directory of the host: reads, writes, mappings, truncation, holes and copies of one file by chance, in a guest, each compared with a model in memory
 * (tests/helpers/fsx.py), and what is in the host's file in the end with that. With SMOLVM_TEST_LONG more seeds, and SMOLVM_FSX_SEED and SMOLVM_FSX_OPERATIONS for one's own.
 */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { BACKENDS, HAS_PYTHON, small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";

useTempHome();
const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";
const PROGRAM = readFileSync(join(import.meta.dirname, "../../helpers/fsx.py"));
const SEEDS = process.env.SMOLVM_FSX_SEED
  ? [Number(process.env.SMOLVM_FSX_SEED)]
  : LONG
    ? [1, 2, 3, 4, 5, 6, 7, 8]
    : [1];
const OPERATIONS = Number(process.env.SMOLVM_FSX_OPERATIONS ?? (LONG ? 4000 : 500));
/** What is mounted how, and where. */
const KINDS = [
  ["rw", "/rw"],
  ["overlay", "/over"],
] as const;

describe.runIf(HAS_PYTHON).each(BACKENDS)("fsx on a directory of the host on %s", (backend) => {
  let vm: SmolVM;
  let dir: string;

  beforeAll(async () => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-fsx-")));
    for (const [mode] of KINDS) mkdirSync(join(dir, mode));
    const mounts = KINDS.map(([mode, guest]) => ({ host: join(dir, mode), guest, mode }));
    vm = await SmolVM.create(small(backend, { mounts }));
    await vm.files.write("/root/fsx.py", PROGRAM);
  }, scaled(60_000));
  afterAll(async () => {
    await vm?.delete({ force: true });
    rmSync(dir, { recursive: true, force: true });
  });

  test.each(KINDS.flatMap(([mode, guest]) => SEEDS.map((seed) => ({ mode, guest, seed }))))(
    "mounted $mode, seed $seed",
    async ({ mode, guest, seed }) => {
      const path = `${guest}/file-${seed}`;
      const argv = ["python3", "/root/fsx.py", path, String(seed), String(OPERATIONS)];
      const { exitCode, stdout, stderr } = await vm.run(argv, { timeoutMs: scaled(300_000) });
      expect(exitCode, stdout + stderr).toBe(0);
      const [size, hash] = stdout.split(" ");
      const content =
        mode === "rw" ? readFileSync(join(dir, mode, `file-${seed}`)) : await vm.files.read(path);
      expect([content.length, createHash("sha256").update(content).digest("hex")]).toEqual([
        Number(size),
        hash,
      ]);
      if (LONG) console.log(`${mode}, seed ${seed}: ${stdout.trim()}`);
    },
    scaled(300_000),
  );
});
