import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { leftovers, useTempHome } from "../helpers/home.ts";
import { until } from "../helpers/wait.ts";

const home = useTempHome();
const helpers = join(import.meta.dirname, "../helpers");
const run = promisify(execFile);

describe.each(BACKENDS)("several host processes on %s", (backend) => {
  test("use one sandbox at once, more of them than it has session ports", async () => {
    await using vm = await SmolVM.create(small(backend));
    const outputs = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        run(process.execPath, [join(helpers, "child-run.ts"), vm.name, `sleep 0.2; echo ${i}`]),
      ),
    );
    expect(outputs.map(({ stdout }) => stdout)).toEqual(Array.from({ length: 8 }, (_, i) => `${i}\n`));
  });

  test("run long commands at once, far more of them than there are session ports", async () => {
    // In the lab each process takes seconds to start: of 24 at once some give up before they have said hello.
    const many = process.env.SMOLVM_LAB === undefined ? 24 : 8;
    await using vm = await SmolVM.create(small(backend));
    // Each waits for all the others: one that had to wait for a port would keep all of them from ending.
    const meet = (i: number): string =>
      `mkdir -p /tmp/in; : > /tmp/in/${i}; while set -- /tmp/in/*; [ $# -lt ${many} ]; do sleep 0.5; done; echo ${i} $#`;
    const outputs = await Promise.all(
      Array.from({ length: many }, (_, i) =>
        run(process.execPath, [join(helpers, "child-run.ts"), vm.name, meet(i)]),
      ),
    );
    expect(outputs.map(({ stdout }) => stdout)).toEqual(
      Array.from({ length: many }, (_, i) => `${i} ${many}\n`),
    );
    await vm.delete(); // its channels are given back before the supervisor looks whether it is needed
    await until("the supervisor has ended", () => leftovers(home).sockets.length === 0);
  });

  test("that are killed in the middle of a command lose their port to the next one, and their command is killed", async () => {
    await using vm = await SmolVM.create(small(backend));
    const victims = Array.from({ length: 3 }, (_, i) =>
      spawn(process.execPath, [join(helpers, "child-run.ts"), vm.name, `sleep ${7000 + i}`], {
        stdio: "ignore",
      }),
    );
    await until("their commands run", async () => (await vm.processes.list()).length >= 3, 60_000);
    for (const victim of victims) victim.kill("SIGKILL");
    const { stdout } = await run(process.execPath, [join(helpers, "child-run.ts"), vm.name, "echo next"]);
    expect(stdout).toBe("next\n");
    await until("their commands are gone", async () => !(await vm.run("ps ax")).stdout.includes("sleep 700"));
  });

  test("take their sandbox with them when they are killed, and the next command clears its record", async () => {
    const owner = spawn(process.execPath, [join(helpers, "child-owner.ts"), backend], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(owner.stdout, "data")) as [Buffer];
    const pid = Number(line.toString().split(" ")[1]);
    expect(pid).toBeGreaterThan(0);
    owner.kill("SIGKILL");
    await until("the VMM died with it", () => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    });
    expect(await SmolVM.list()).toEqual([]);
    expect(leftovers(home)).toEqual({ processes: [], directories: [], sockets: [] });
  });
});
