import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { cli, cliJson, createBox, shell, startCli } from "../../helpers/cli.ts";
import { leftovers, useTempHome } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

const home = useTempHome();
const SMALL = ["--network", "off", "--memory", "256M"] as const;

afterEach(async () => {
  await cli(["rm", "--all", "-f"]);
});

/** What is left of sandboxes on the host: nothing, in the end. */
const NOTHING = { processes: [], directories: [], sockets: [] };

test("processes that create at once never share a name or a port of the host, and all else of them is distinct", async () => {
  const sameName = await Promise.all([1, 2, 3, 4].map(() => cli(["create", "--name", "one", ...SMALL])));
  expect(sameName.map(({ code }) => code).sort()).toEqual([0, 1, 1, 1]);
  for (const { code, stderr } of sameName)
    if (code !== 0) expect(stderr).toContain("a sandbox named 'one' exists");

  const samePort = await Promise.all([1, 2, 3, 4].map(() => cli(["create", "-p", "17017:80", ...SMALL])));
  expect(samePort.map(({ code }) => code).sort()).toEqual([0, 1, 1, 1]);
  for (const { code, stderr } of samePort)
    if (code !== 0) expect(stderr).toContain("error: port 17017 of 127.0.0.1");

  const own = await Promise.all([1, 2, 3, 4].map(() => cliJson(["create", ...SMALL])));
  expect(new Set(own.map(({ data }) => data.name)).size).toBe(4);
  expect(new Set(own.map(({ data }) => data.id)).size).toBe(4);
  expect((await cliJson(["ls"])).data).toHaveLength(6);
});

describe("run", () => {
  test("runs a command in a new sandbox and leaves nothing behind", async () => {
    const words = ["run", ...SMALL, "-e", "A=1", "-w", "/tmp", "-u", "nobody"];
    const run = await cli([...words, "--", "sh", "-c", "echo $A; pwd; id -un; cat; exit 5"], {
      input: "input\n",
    });
    expect(run).toMatchObject({ code: 5, text: "1\n/tmp\nnobody\ninput\n" });
    expect(leftovers(home)).toEqual(NOTHING);
    expect((await cli(["ls", "-q"])).text).toBe("");
  });

  test("leaves nothing behind when the command cannot be started, or takes too long", async () => {
    expect((await cli(["run", ...SMALL, "--", "no-such-program"])).code).toBe(127);
    expect((await cli(["run", ...SMALL, "--timeout", "1s", "--", "sleep", "1000"])).code).toBe(124);
    expect(leftovers(home)).toEqual(NOTHING);
  });

  test("--json says what the command did", async () => {
    expect(await cliJson(["run", ...SMALL, "--", "sh", "-c", "echo out; exit 4"])).toMatchObject({
      code: 4,
      ok: true,
      command: "run",
      data: { exitCode: 4, stdout: "out\n" },
    });
  });

  test("forwards ports while it runs", async () => {
    const server =
      "import http.server as h; h.HTTPServer(('127.0.0.1', 80), h.SimpleHTTPRequestHandler).serve_forever()";
    const run = startCli(["run", ...SMALL, "-p", "80", "-w", "/etc", "--", "python3", "-c", server]);
    const address = await until(
      "a note says where",
      () => /forwarding (\S+) -> port 80/.exec(run.stderr)?.[1],
    );
    await until("the server answers", () =>
      fetch(`http://${address}/hostname`).then(
        (r) => r.ok,
        () => false,
      ),
    );
    expect((await cli(["ls"])).text).toContain(`${address}->80`);
    run.child.kill("SIGINT");
    expect((await run.ended).code).toBe(130);
    expect(leftovers(home)).toEqual(NOTHING);
  });

  test("is told before it boots that a port is taken", async () => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as AddressInfo;
    try {
      const run = startCli(["run", ...SMALL, "-p", `${port}:80`, "--", "true"]);
      const { code, stderr } = await run.ended;
      expect(code).toBe(125);
      expect(stderr).toBe(
        `error: port ${port} of 127.0.0.1 is in use on this machine\n` +
          "hint: Choose another host port, or leave it out for any free one.\n",
      ); // and no word of a boot
      expect(leftovers(home)).toEqual(NOTHING);
    } finally {
      holder.close();
    }
  });

  test("that is interrupted while booting cleans up", async () => {
    const run = startCli(["run", ...SMALL, "--", "true"]);
    await until("its machine is being launched", () => leftovers(home).processes.length > 1);
    run.child.kill("SIGINT");
    expect(await run.ended).toMatchObject({
      code: 130,
      text: "",
      stderr: expect.stringMatching(/^error: .* was aborted\n/),
    });
    expect(leftovers(home)).toEqual(NOTHING);
  });

  test("that is interrupted twice ends at once, and the next command clears up", async () => {
    const run = startCli(["run", ...SMALL, "--", "true"]);
    await until("its machine is being launched", () => leftovers(home).processes.length > 1);
    run.child.kill("SIGTERM");
    run.child.kill("SIGTERM");
    expect((await run.ended).code).toBe(143);
    await cli(["ls"]);
    await until("nothing is left", () => JSON.stringify(leftovers(home)) === JSON.stringify(NOTHING));
  });

  test("that is killed takes its machine with it, and the next command clears up", async () => {
    const run = startCli(["run", ...SMALL, "--", "sh", "-c", "echo up; sleep 1000"]);
    await run.printed("up");
    run.child.kill("SIGKILL");
    await run.ended;
    expect((await cli(["ls", "-q"])).text).toBe("");
    await until("nothing is left", () => JSON.stringify(leftovers(home)) === JSON.stringify(NOTHING));
  });

  test("can be joined by another process, which does not end it", async () => {
    const run = startCli(["run", ...SMALL, "--name", "joined", "--", "sh", "-c", "echo up; cat"], {
      openStdin: true,
    });
    await run.printed("up");
    expect((await cli(["exec", "joined", "echo", "hi"])).text).toBe("hi\n");
    run.child.stdin!.end("still here\n");
    expect(await run.ended).toMatchObject({ code: 0, text: "up\nstill here\n" });
  });

  test("a reader that leaves ends it quickly and quietly", async () => {
    const run = await shell(
      `set -o pipefail; smolvm run ${SMALL.join(" ")} --quiet -- yes | head -1; echo $?`,
    );
    expect(run).toMatchObject({ text: "y\n141\n", stderr: "" });
    expect(leftovers(home)).toEqual(NOTHING);
  });
});

describe("the life of a sandbox", () => {
  test("created, started, stopped, started again with its disk, removed", async () => {
    const created = await cli(["create", "--name", "box", ...SMALL, "-l", "team=web"]);
    expect(created).toMatchObject({ code: 0, text: "box\n", stderr: "Start it with: smolvm start box\n" });
    expect((await cli(["ls"])).text).toMatch(
      /^NAME {2}STATE .*\nbox {3}created {2}debian {2}qemu +- +256M {2}-\n$/,
    );
    expect(await cli(["exec", "box", "true"])).toMatchObject({
      code: 125,
      stderr: "error: sandbox 'box' is created, not running\nhint: Start it: smolvm start box\n",
    });

    expect(await cli(["start", "box"])).toMatchObject({ code: 0, text: "box\n" });
    expect(await cli(["start", "box"])).toMatchObject({ code: 0, text: "box\n" });
    expect((await cli(["exec", "box", "--", "sh", "-c", "echo kept > /root/note"])).code).toBe(0);
    expect((await cli(["ls", "--label", "team=web"])).text).toMatch(/\nbox {3}running .* \d+s +256M/);
    expect((await cli(["ls", "-q", "--label", "team=other"])).text).toBe("");
    for (const words of [
      ["rm", "box"],
      ["rm", "--dry-run", "box"],
    ]) {
      expect((await cli(words)).stderr).toMatch(
        /error: sandbox 'box' is running\nhint: .*smolvm rm -f box\n$/,
      );
    }

    expect(await cli(["stop", "box"])).toMatchObject({ code: 0, text: "box\n" });
    expect(await cli(["stop", "box"])).toMatchObject({ code: 0, text: "box\n" });
    expect((await cli(["exec", "box", "true"])).stderr).toBe(
      "error: sandbox 'box' is stopped, not running\nhint: Start it: smolvm start box\n",
    );
    expect((await cli(["start", "box"])).code).toBe(0);
    expect((await cli(["exec", "box", "cat", "/root/note"])).text).toBe("kept\n");

    expect(await cli(["rm", "-f", "--dry-run", "box"])).toMatchObject({
      text: "box\n",
      stderr: "Would be removed:\n",
    });
    expect(await cli(["rm", "-f", "box"])).toMatchObject({ code: 0, text: "box\n" });
    expect(leftovers(home)).toEqual(NOTHING);
  });

  test("info and logs tell about it", async () => {
    await createBox("box", "-l", "a=b", "--cpus", "2");
    const { text } = await cli(["info", "box"]);
    expect(text).toMatch(/^name: +box\n/);
    expect(text).toMatch(/\nstate: +running\n/);
    expect(text).toMatch(/\ncpus: +2\nmemory: +256M\ndisk: +2G\nnetwork: +off: no network card\n/);
    expect(text).toMatch(/\nlabels: +a=b\n/);
    const { data } = await cliJson(["info", "box"]);
    expect(data).toMatchObject({
      name: "box",
      state: "running",
      vcpuCount: 2,
      memSizeMib: 256,
      labels: { a: "b" },
    });
    expect((await cliJson(["info", "box", "box"])).data).toMatchObject({ name: "box" });

    expect((await cli(["logs", "box"])).text).toMatch(/smolvm-agent: ready/);
    const tail = (await cli(["logs", "--tail", "1", "box"])).text;
    expect(tail.trimEnd().split("\n")).toHaveLength(1);
    expect((await cliJson(["logs", "box"])).data.log).toMatch(/smolvm-agent: ready/);
  });

  test("a name is taken once", async () => {
    await cli(["create", "--name", "box", ...SMALL]);
    const again = await cliJson(["create", "--name", "box", ...SMALL]);
    expect(again).toMatchObject({ code: 1, ok: false, error: { code: "VM_NAME_TAKEN" } });
  });

  test("several are removed at once, and what cannot be is told apart from what was", async () => {
    await cli(["create", "--name", "one", ...SMALL]);
    await cli(["create", "--name", "two", ...SMALL]);
    const run = await cliJson(["rm", "one", "nobox", "two"]);
    expect(run).toMatchObject({
      code: 1,
      ok: false,
      error: {
        code: "VM_NOT_FOUND",
        details: { failed: [{ name: "nobox" }], done: [{ name: "one" }, { name: "two" }] },
      },
    });
    expect((await cli(["ls", "-q"])).text).toBe("");
    await cli(["create", "--name", "one", ...SMALL]);
    expect(await cli(["rm", "one", "nobox"])).toMatchObject({ code: 1, text: "one\n" });
  });

  test("an image that one uses is not removed, which --dry-run knows", async () => {
    await cli(["create", "--name", "box", ...SMALL]);
    expect(await cliJson(["image", "rm", "--dry-run", "debian"])).toMatchObject({
      code: 1,
      error: { code: "IMAGE_IN_USE", message: "the image 'debian' is used by box" },
    });
  });

  test("rm --all needs -f where nobody can be asked", async () => {
    await cli(["create", "--name", "box", ...SMALL]);
    expect((await cli(["rm", "--all"])).stderr).toMatch(
      /^error: rm --all needs -f here[^\n]*\nhint: .*--dry-run/,
    );
    expect((await cli(["rm", "--all", "--dry-run"])).text).toBe("box\n");
    expect(await cli(["rm", "--all", "-f"])).toMatchObject({ code: 0, text: "box\n" });
  });

  test("a kernel that is none is explained", async () => {
    const manifest = join(import.meta.dirname, "../../../package.json");
    const run = await cli(["run", ...SMALL, "--kernel", manifest, "--", "true"]);
    expect(run.code).toBe(125);
    expect(run.stderr).toMatch(/^error: the kernel '.*package.json' is not a Linux kernel\nhint: .*vmlinux/);
    expect(leftovers(home)).toEqual(NOTHING);
  });
});

test("a crashed sandbox is told from a stopped one", async () => {
  await createBox("box");
  const { data } = await cliJson(["info", "box"]);
  process.kill(data.pid, "SIGKILL");
  await until("it is gone", async () => (await cliJson(["info", "box"])).data.state === "error");
  expect((await cli(["info", "box"])).text).toMatch(/\nerror: +.*crashed.*\n/);
  expect((await cli(["exec", "box", "true"])).stderr).toMatch(/hint: .*smolvm start box/);
  expect((await cli(["start", "box"])).code).toBe(0);
});
