import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { cli, cliJson, createBox } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

const home = useTempHome();
const directory = mkdtempSync(join(tmpdir(), "smolvm-debug-"));
afterAll(() => rmSync(directory, { recursive: true }));
afterEach(async () => {
  await cli(["rm", "--all", "-f"]);
});

const SECRET = "s3cr3t-token-of-a-user";
const KERNEL_SECRET = "kernel-argument-secret";
let count = 0;

/** Makes a bundle and unpacks it. */
async function bundle(
  name: string,
  // biome-ignore lint/suspicious/noExplicitAny: tests look at what they know is there
): Promise<{ all: string; text: (file: string) => string; json: (file: string) => any }> {
  const file = join(directory, `bundle-${count++}.tar.gz`);
  const run = await cli(["debug", "-o", file, name]);
  expect(run).toMatchObject({ code: 0, text: `${file}\n` });
  expect(statSync(file).mode & 0o777).toBe(0o600);
  execFileSync("tar", ["-xzf", file, "-C", directory]);
  const text = (entry: string): string =>
    readFileSync(join(directory, `smolvm-debug-${name}`, entry), "utf8");
  return {
    all: gunzipSync(readFileSync(file)).toString("latin1"),
    text,
    json: (entry) => JSON.parse(text(entry)),
  };
}

describe("debug", () => {
  test("tells everything about a running sandbox but what is secret", async () => {
    const config = { name: "box", network: "off", memSizeMib: 256, labels: { team: "web" } } as const;
    const vm = await SmolVM.define({
      ...config,
      env: { TOKEN: SECRET, FLAG: "1" },
      bootArgs: `app.secret=${KERNEL_SECRET} loglevel=7`,
    });
    await vm.run(
      `echo "leaked $TOKEN" > /dev/console; cat /proc/cmdline > /dev/console; echo visible > /dev/console`,
    );
    await until("the console has it", async () => (await vm.logs()).includes("visible"));
    expect(await vm.logs()).toContain(KERNEL_SECRET);
    expect(await vm.logs()).toContain(SECRET);
    await vm[Symbol.asyncDispose]();

    const { all, text, json } = await bundle("box");
    expect(all).not.toContain(SECRET);
    expect(all).not.toContain(KERNEL_SECRET);
    expect(json("record.json")).toMatchObject({
      state: "running",
      spec: {
        env: { TOKEN: "(hidden)", FLAG: "(hidden)" },
        machine: { bootArgs: "app.secret=(hidden) loglevel=(hidden)" },
      },
    });
    expect(json("vmm.json")).toMatchObject({ "query-status": { status: "running" } });
    expect(json("agent.json").info.kernel).toMatch(/Linux|6\./);
    expect(json("processes.json").vmm).toMatchObject({ alive: true });
    expect(json("doctor.json").checks.length).toBeGreaterThan(5);
    expect(json("host.json")).toMatchObject({ node: process.version });
    expect(text("console.log")).toContain("leaked (hidden)");
    expect(text("console.log")).toContain("visible");
    expect(text("README.txt")).toContain("'box'");
  });

  test("works for a sandbox that is stopped, whose VMM hangs, or whose files are gone, and changes nothing", async () => {
    await createBox("box");
    const vm = await SmolVM.get("box");
    const { pid } = await vm.info();
    process.kill(pid!, "SIGSTOP");
    const hung = await bundle("box");
    expect(hung.json("vmm.json").failed).toContain("5000 ms");
    expect(hung.json("agent.json").failed).toContain("5000 ms");
    expect(hung.json("processes.json").vmm.status).toContain("State:\tT (stopped)");
    process.kill(pid!, "SIGKILL");
    await until("it is dead", () => !alive(pid!));

    // Dead, and nobody has noticed: the bundle shows just that.
    const dead = await bundle("box");
    expect(dead.json("record.json").state).toBe("running");
    expect(dead.json("processes.json").vmm).toMatchObject({ alive: false });
    expect(dead.json("vmm.json").failed).toBe("the machine does not run");
    expect(dead.text("exit.json")).toContain('"signal":9');

    rmSync(join(home, "data/smolvm/vms", vm.id), { recursive: true });
    const gone = await bundle("box");
    expect(gone.text("console.log")).toBe("");
    expect(gone.json("files.json").dir).toEqual([]);
  });

  test("does not take an existing file, and names its own by sandbox and time", async () => {
    await cli(["create", "--name", "box"]);
    const cwd = mkdtempSync(join(directory, "cwd-"));
    const run = await cliJson(["debug", "box"], { cwd });
    expect(run).toMatchObject({ code: 0, ok: true });
    expect(run.data.file).toMatch(/^smolvm-debug-box-\d{8}T\d{6}Z\.tar\.gz$/);
    expect(readdirSync(cwd)).toEqual([run.data.file]);
    const again = await cliJson(["debug", "-o", run.data.file, "box"], { cwd });
    expect(again).toMatchObject({ code: 1, error: { code: "FILE_EXISTS" } });
    expect(await cliJson(["debug", "nosuch"])).toMatchObject({ code: 1, error: { code: "VM_NOT_FOUND" } });
  });
});

function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
