import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { SmolVM } from "../../src/index.ts";
import { builtCli } from "../built-cli.ts";
import type { Target } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

const run = promisify(execFile);
const MANY = 1_000;

/** One user's home, as the environment names it. */
type Place = Record<"XDG_DATA_HOME" | "XDG_RUNTIME_DIR", string>;

/**
 * Row 9: create, ls and exec where the store has 1,000 sandboxes, against the same where it has one. Needs `npm run build`.
 * The one that runs is the first of each; the others were created and never started.
 */
export async function growth({ target, n = 30 }: Setting): Promise<Measurement[]> {
  const few = place("few");
  const many = place("many");
  const running = [await fill(target, few, 1), await fill(target, many, MANY)];
  const cli = (home: Place, ...words: string[]) =>
    run(process.execPath, [builtCli(), ...words], { env: { ...process.env, ...home } });
  let made = 0;
  const commands = {
    ls: async (home: Place) => {
      const { stdout } = await cli(home, "ls");
      checkOutput(String(stdout.split("\n").length - 2), String(home === few ? 1 : MANY));
    },
    exec: async (home: Place) =>
      checkOutput((await cli(home, "exec", "first", "--", "echo", "hi")).stdout, "hi\n"),
    create: async (home: Place) => {
      const name = `made-${made++}`;
      checkOutput((await cli(home, "create", "-q", "--name", name, "--network", "off")).stdout, `${name}\n`);
      removals.push(() => cli(home, "rm", "-f", name));
    },
  };
  const removals: (() => Promise<unknown>)[] = [];
  const rows: Measurement[] = [];
  for (const [name, command] of Object.entries(commands)) {
    const sample = async (home: Place): Promise<number> => {
      const took = await timed(() => command(home));
      for (const remove of removals.splice(0)) await remove(); // so that the store keeps its size
      return took;
    };
    const samples = await interleave(n, { ours: () => sample(many), floor: () => sample(few) });
    rows.push({
      samples,
      row: toRow(
        { row: "9", name: `smolvm ${name}, ${MANY} sandboxes against 1`, unit: "ms", goal: "<= 1.1 x" },
        samples,
        ({ ratio }) => ratio <= 1.1,
      ),
    });
  }
  for (const [i, home] of [few, many].entries()) {
    Object.assign(process.env, home);
    await running[i]!.delete({ force: true });
  }
  return rows;
}

function place(name: string): Place {
  const root = process.env.XDG_RUNTIME_DIR!;
  const home = { XDG_DATA_HOME: join(root, name, "data"), XDG_RUNTIME_DIR: join(root, name, "run") };
  mkdirSync(home.XDG_RUNTIME_DIR, { recursive: true, mode: 0o700 });
  return home;
}

/** Makes sandboxes in a home, of which the first runs. */
async function fill(target: Target, home: Place, count: number): Promise<SmolVM> {
  Object.assign(process.env, home);
  const options = { ...target, lifetime: "detached" } as const;
  const first = await SmolVM.create({ ...options, name: "first" });
  for (let i = 1; i < count; i++) await SmolVM.define({ ...options, name: `other-${i}` });
  return first;
}
