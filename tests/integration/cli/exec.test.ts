import { spawnSync } from "node:child_process";
import { type AddressInfo, createServer } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli, cliJson, createBox, shell, startCli } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

beforeAll(() => createBox("box", "-e", "OWN=box"));
afterAll(async () => {
  expect(await cli(["rm", "-f", "box"])).toMatchObject({ code: 0, text: "box\n" });
});

describe("streams", () => {
  test("stdout and stderr come out where they belong, and the exit code is the guest's", async () => {
    const { code, text, stderr } = await cli([
      "exec",
      "box",
      "--",
      "sh",
      "-c",
      "echo out; echo err >&2; exit 7",
    ]);
    expect({ code, text, stderr }).toEqual({ code: 7, text: "out\n", stderr: "err\n" });
  });

  test("bytes that are no text pass unchanged in both directions", async () => {
    const bytes = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7) & 0xff));
    expect((await cli(["exec", "box", "cat"], { input: bytes })).stdout).toEqual(bytes);
  });

  test("16 MiB go in and come out whole", async () => {
    const bytes = Buffer.alloc(16 * 1024 * 1024, "smolvm ");
    const { stdout, code } = await cli(["exec", "box", "cat"], { input: bytes });
    expect(code).toBe(0);
    expect(stdout.equals(bytes)).toBe(true);
  });

  test("output comes while the command runs", async () => {
    const run = startCli(["exec", "box", "--", "sh", "-c", "echo first; cat"], { openStdin: true });
    await run.printed("first\n");
    run.child.stdin!.write("second\n");
    await run.printed("second\n");
    run.child.stdin!.end();
    expect(await run.ended).toMatchObject({ code: 0, text: "first\nsecond\n" });
  });

  test("a stdin that nobody closes does not hold up the end", async () => {
    const run = startCli(["exec", "box", "echo", "done"], { openStdin: true });
    expect(await run.ended).toMatchObject({ code: 0, text: "done\n" });
  });

  test("a command that does not read its stdin ends all the same", async () => {
    expect(await shell("yes | smolvm exec box echo done; echo $?")).toMatchObject({
      text: "done\n0\n",
      stderr: "",
    });
  });

  test.each([
    ["a directory", "smolvm exec OPTIONS box -- sh -c 'cat > got; echo ended > end' < /tmp", /EISDIR/],
    [
      "a file that cannot be read",
      "exec 3< /proc/$$/mem; smolvm exec OPTIONS box -- sh -c 'cat > got; echo ended > end' <&3",
      /EIO/,
    ],
  ])(
    "%s as stdin is not the end of an input: the command is killed, and it is said",
    async (_name, line, why) => {
      for (const options of ["", "--json"]) {
        const run = await shell(line.replace("OPTIONS", options));
        expect(run.code).toBe(125);
        expect(options === "" ? run.stderr : run.text).toMatch(why);
        expect(run.stderr + run.text).toMatch(/could not be read: .*; it and all it started were killed/);
      }
      expect((await cli(["exec", "box", "--", "ls", "end"])).code).toBe(2); // cat was never told of an end
    },
  );

  test("a connection that is reset is not the end of an input", async () => {
    const server = createServer((socket) => {
      socket.write(Buffer.alloc(100_000), () => socket.resetAndDestroy());
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const run = await shell(
      `exec 3<>/dev/tcp/127.0.0.1/${port}; smolvm exec box -- sh -c 'wc -c; echo ended' <&3`,
    );
    server.close();
    expect(run).toMatchObject({ code: 125, text: "" });
    expect(run.stderr).toMatch(/^error: running .* stdin could not be read: .*ECONNRESET.*\nhint: /);
  });

  test("without a stdin, or with /dev/null, the command finds the end of its input", async () => {
    expect(await shell("smolvm exec box wc -c <&-; smolvm exec box wc -c </dev/null")).toMatchObject({
      text: "0\n0\n",
    });
  });

  test("a reader that leaves ends the command, quickly and without a word", async () => {
    const run = await shell("set -o pipefail; smolvm exec box -- yes only-once | head -1; echo $?");
    expect(run).toMatchObject({ text: "only-once\n141\n", stderr: "" });
    expect((await cliJson(["exec", "box", "--", "sh", "-c", "pgrep -x yes || echo none"])).data.stdout).toBe(
      "none\n",
    );
  });

  test("a reader that pauses does not keep the time limit from being kept", async () => {
    const run = await shell("(smolvm exec --timeout 2s box -- yes; echo $? >&2) | { sleep 6; head -c 2; }");
    expect(run.stderr).toMatch(/^error: .*did not finish within 2000 ms[\s\S]*\n124\n$/);
  });
});

describe("exit codes", () => {
  test.each<[string, string[], number]>([
    ["a program that is not there", ["no-such-program"], 127],
    ["a file that is no program", ["/etc/passwd"], 126],
    ["a command that a signal ended", ["sh", "-c", "kill -9 $$"], 137],
    ["a command that exits with 255", ["sh", "-c", "exit 255"], 255],
  ])("%s", async (_, command, code) => {
    expect((await cli(["exec", "box", "--", ...command])).code).toBe(code);
  });

  test("a time limit kills the command with all it started", async () => {
    const run = await cli([
      "exec",
      "--timeout",
      "1s",
      "box",
      "--",
      "sh",
      "-c",
      "echo begun; sleep 4711 & sleep 4711",
    ]);
    expect(run).toMatchObject({ code: 124, text: "begun\n" });
    expect(run.stderr).toMatch(
      /^error: .* did not finish within 1000 ms; .*\nhint: Raise --timeout if it needs longer\.\n$/,
    );
    expect((await cli(["exec", "box", "--", "pgrep", "-f", "sleep 4711"])).code).toBe(1);
  });

  test("a shell line that was given as one word gets the right command as a hint", async () => {
    expect((await cli(["exec", "box", "ls -la"])).stderr).toMatch(
      /hint: For a shell line write: smolvm exec box -- sh -c 'ls -la'\n$/,
    );
  });
});

describe("options", () => {
  test("environment, directory and user reach the command, over the sandbox's own", async () => {
    const words = ["exec", "-e", "A=1", "-e", "MINE", "-w", "/usr", "-u", "nobody", "box", "--"];
    const run = await cli([...words, "sh", "-c", "echo $A $MINE $OWN; pwd; id -un"], {
      env: { MINE: "caller" },
    });
    expect(run.text).toBe("1 caller box\n/usr\nnobody\n");
  });

  test("a variable that is not set here is left out, with a note", async () => {
    const run = await cli([
      "exec",
      "-e",
      "NOT_SET_HERE",
      "box",
      "--",
      "sh",
      "-c",
      "echo $NOT_SET_HERE-unset",
    ]);
    expect(run).toMatchObject({
      text: "-unset\n",
      stderr: "note: NOT_SET_HERE is not set here, so --env NOT_SET_HERE sets nothing\n",
    });
  });
});

describe("--json", () => {
  test("collects the output and reports the guest's exit code as a result", async () => {
    const run = await cliJson(["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    expect(run).toEqual({
      code: 3,
      ok: true,
      command: "exec",
      error: null,
      data: { exitCode: 3, signal: null, stdout: "out\n", stderr: "err\n", durationMs: expect.any(Number) },
    });
  });

  test("keeps bytes that are no text", async () => {
    const { data } = await cliJson(["exec", "box", "printf", "\\377x"]);
    expect(data).toMatchObject({ stdout: "\ufffdx", stdoutBase64: "/3g=" });
  });

  test("forwards stdin, and tells what was printed before a time limit", async () => {
    expect((await cliJson(["exec", "box", "cat"], { input: "through" })).data.stdout).toBe("through");
    const late = await cliJson(["exec", "--timeout", "1s", "box", "--", "sh", "-c", "echo part; sleep 100"]);
    expect(late).toMatchObject({
      code: 124,
      ok: false,
      error: { code: "RUN_TIMEOUT", details: { stdout: "part\n" } },
    });
  });
});

describe("signals", () => {
  const TRAP = "trap 'echo caught; exit 9' INT TERM; echo ready; while :; do sleep 0.1; done";

  test.each(["SIGINT", "SIGTERM"] as const)("%s goes to the guest's command", async (signal) => {
    const run = startCli(["exec", "box", "--", "sh", "-c", TRAP]);
    await run.printed("ready");
    run.child.kill(signal);
    expect(await run.ended).toMatchObject({ code: 9, text: "ready\ncaught\n" });
  });

  test("a second one kills what ignored the first", async () => {
    const run = startCli([
      "exec",
      "box",
      "--",
      "sh",
      "-c",
      "trap 'echo ignored' INT; echo ready; while :; do sleep 0.1; done",
    ]);
    await run.printed("ready");
    run.child.kill("SIGINT");
    await run.printed("ignored");
    run.child.kill("SIGINT");
    expect(await run.ended).toMatchObject({ code: 137 });
  });

  test("a command that is killed with its smolvm leaves nothing behind in the guest", async () => {
    const run = startCli(["exec", "box", "--", "sh", "-c", "echo ready; exec sleep 4712"]);
    await run.printed("ready");
    run.child.kill("SIGKILL");
    await run.ended;
    const gone = await cli([
      "exec",
      "box",
      "--",
      "sh",
      "-c",
      "for i in $(seq 100); do pgrep -f '[s]leep 4712' || exit 0; sleep 0.1; done; exit 1",
    ]);
    expect(gone).toMatchObject({ code: 0 });
  });
});

test("many at once, from as many processes, all get their own output", async () => {
  const runs = Array.from({ length: 8 }, (_, i) => cli(["exec", "box", "echo", `number ${i}`]));
  expect((await Promise.all(runs)).map((run) => run.text)).toEqual(runs.map((_, i) => `number ${i}\n`));
});

test("the terminal driver is there", () => {
  // The tests on a terminal need it: better told here than by a time-out there.
  expect(spawnSync("python3", ["--version"]).status).toBe(0);
});
