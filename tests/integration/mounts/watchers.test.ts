/**
 * What people have running while they edit, real ones from npm and PyPI, in a guest on a directory of the host: a save on the host has them go on. They are installed
 * on the host, into directories that the guest has as well: it has no network. Only with SMOLVM_TEST_LONG: emulated, each takes seconds to come up.
 */
import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type GuestProcess, SmolVM } from "../../../src/index.ts";
import { BACKENDS, HAS_PYTHON, small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";
import { SPEED_FACTOR, scaled } from "../../helpers/speed.ts";
import { until } from "../../helpers/wait.ts";

useTempHome();
const LONG = (process.env.SMOLVM_TEST_LONG ?? "") !== "";

const NPM = ["typescript@5", "nodemon@3", "vite@8"];
const PYPI = ["pytest-watch==4.2.0", "pytest<9"];

/** A program of the guest's that watches, and what it has said since it was last asked. */
class Watching {
  readonly #process: GuestProcess;
  readonly #reading: Promise<void>;
  #said = "";
  constructor(process: GuestProcess) {
    this.#process = process;
    this.#reading = (async () => {
      for await (const { data } of process) this.#said += Buffer.from(data).toString();
    })().catch(() => {}); // it is killed
  }

  /** Waits until it says something after `act`; how long that took, in ms. */
  async says(what: RegExp, act: () => void): Promise<number> {
    this.#said = "";
    const from = performance.now();
    act();
    await this.saysNext(what);
    return Math.round(performance.now() - from);
  }

  /** Waits until it has said something since. */
  async saysNext(what: RegExp): Promise<void> {
    await until(`it says ${what}`, () => what.test(this.#said), scaled(60_000));
  }

  async end(): Promise<void> {
    await this.#process.kill("SIGKILL").catch(() => {});
    await this.#reading;
  }
}

describe.runIf(LONG && HAS_PYTHON).each(BACKENDS)(
  "programs that watch a directory of the host on %s",
  (backend) => {
    let vm: SmolVM;
    let dir: string;
    const work = (...names: string[]): string => join(dir, "work", ...names);
    const node = (program: string, ...args: string[]): string[] => [
      "node",
      `/tools/node_modules/${program}`,
      ...args,
    ];
    /** As editors save: another file in its place, or the same one written anew. */
    const save = (name: string, text: string, replaced: boolean): void => {
      writeFileSync(work(replaced ? `${name}.tmp~` : name), text);
      if (replaced) renameSync(work(`${name}.tmp~`), work(name));
    };

    beforeAll(async () => {
      dir = realpathSync(mkdtempSync(join(tmpdir(), "smolvm-watchers-")));
      for (const name of ["work", "tools", "python"]) mkdirSync(join(dir, name));
      execFileSync("npm", [
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
        "--prefix",
        join(dir, "tools"),
        ...NPM,
      ]);
      execFileSync("pip", ["install", "--quiet", "--target", join(dir, "python"), ...PYPI], {
        stdio: "ignore",
      });
      vm = await SmolVM.create(
        small(backend, {
          memSizeMib: 1024,
          mounts: [
            { host: work(), guest: "/work", mode: "rw" },
            { host: join(dir, "tools"), guest: "/tools" },
            { host: join(dir, "python"), guest: "/python" },
            { host: realpathSync(process.execPath), guest: "/usr/local/bin/node" },
          ],
        }),
      );
    }, scaled(180_000));
    afterAll(async () => {
      await vm?.delete({ force: true });
      rmSync(dir, { recursive: true, force: true });
    });

    /** Each save is heard of, however it is made; what it took is printed. */
    async function hears(
      argv: string[],
      come: RegExp,
      name: string,
      [noticed, done]: readonly [RegExp, RegExp],
      text: (round: number) => string,
    ): Promise<void> {
      for (const old of readdirSync(work())) rmSync(work(old), { recursive: true });
      save(name, text(0), false);
      const watching = new Watching(
        vm.spawn(argv, { cwd: "/work", env: { PYTHONPATH: "/python", CHOKIDAR_USEPOLLING: "0" } }),
      );
      await watching.saysNext(come);
      const times: string[] = [];
      for (let round = 1; round <= 4; round++) {
        const from = performance.now();
        const after = await watching.says(noticed, () => save(name, text(round), round % 2 === 0));
        await watching.saysNext(done);
        times.push(`${after} (${Math.round(performance.now() - from)})`);
        expect(after).toBeLessThan(5_000 * SPEED_FACTOR);
      }
      console.log(
        `${argv.join(" ")}: ms from a save to "${noticed.source}" ("${done.source}"): ${times.join(", ")}`,
      );
      await watching.end();
    }

    test(
      "tsc --watch compiles",
      async () => {
        await hears(
          node("typescript/bin/tsc", "--watch", "--preserveWatchOutput", "main.ts"),
          /Found 0 errors/,
          "main.ts",
          [/File change detected/, /Found 0 errors/],
          (round) => `export const round: number = ${round};\n`,
        );
      },
      scaled(240_000),
    );

    test(
      "nodemon starts anew",
      async () => {
        await hears(
          node("nodemon/bin/nodemon.js", "main.js"),
          /round 0/,
          "main.js",
          [/restarting due to changes/, /round \d/],
          (round) => `console.log("round ${round}"); setInterval(() => {}, 1000);\n`,
        );
      },
      scaled(240_000),
    );

    test(
      "pytest-watch tests",
      async () => {
        await hears(
          ["python3", "-u", "-m", "pytest_watch", "--nobeep", "--runner", "python3 -m pytest -q"],
          /1 passed/,
          "test_it.py",
          [/ detected: /, /1 passed/],
          (round) => `def test_round_${round}(): assert True\n`,
        );
      },
      scaled(240_000),
    );

    test(
      "vite reloads",
      async () => {
        for (const old of readdirSync(work())) rmSync(work(old), { recursive: true });
        save("index.html", '<script type="module" src="/main.js"></script>', false);
        save("main.js", "console.log(0)\n", false);
        const vite = new Watching(
          vm.spawn(node("vite/bin/vite.js", "--host", "127.0.0.1", "--port", "5173"), { cwd: "/work" }),
        );
        await vite.saysNext(/ready in/);
        const page = async (): Promise<string> =>
          (await vm.run("curl -s http://127.0.0.1:5173/main.js")).stdout;
        expect(await page()).toContain("console.log(0)");
        const times: number[] = [];
        for (let round = 1; round <= 4; round++) {
          times.push(
            await vite.says(/page reload/, () => save("main.js", `console.log(${round})\n`, round % 2 === 0)),
          );
          expect(await page()).toContain(`console.log(${round})`);
        }
        console.log(`vite: from a save to "page reload" in ${times.join(", ")} ms`);
        await vite.end();
      },
      scaled(240_000),
    );
  },
);
