import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CLI, cli, cliJson, RunningCli, shell } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

/** Exit code, stdout and stderr of a command line that is wrong, as a user sees them. */
async function told(...args: string[]): Promise<string> {
  const { code, text, stderr } = await cli(args);
  return `${text}${stderr}exit ${code}`;
}

describe("wrong usage", () => {
  test("an unknown command", async () => {
    expect(await told("exce", "box", "ls")).toMatchInlineSnapshot(`
      "error: unknown command 'exce'
      hint: Did you mean: smolvm exec
      exit 2"
    `);
    expect(await told("image", "bild")).toMatchInlineSnapshot(`
      "error: unknown command 'image bild'
      hint: Did you mean: smolvm image build
      exit 2"
    `);
    expect(await told("snapshot", "create", "box")).toMatchInlineSnapshot(`
      "error: the sandbox's name or the snapshot's is missing
      hint: Usage: smolvm snapshot create [OPTIONS] NAME SNAPSHOT
      exit 2"
    `);
  });

  test("an unknown option, and one in front of the command", async () => {
    expect(await told("ls", "--stat", "running")).toMatchInlineSnapshot(`
      "error: unknown option '--stat'
      hint: Did you mean --state?
      exit 2"
    `);
    expect(await told("run", "--memry", "1G", "--", "true")).toMatchInlineSnapshot(`
      "error: unknown option '--memry'
      hint: Did you mean --memory?
      exit 125"
    `);
    expect(await told("--memory", "1G", "run", "true")).toMatchInlineSnapshot(`
      "error: unknown option '--memory'
      hint: Options stand behind the command: smolvm COMMAND [OPTIONS]. See: smolvm help
      exit 2"
    `);
  });

  test("no command to run", async () => {
    expect(await told("run")).toMatchInlineSnapshot(`
      "error: the command is missing
      hint: Say what to run: smolvm run -- echo hello (or smolvm run -it for a shell). An image from a registry may name its own.
      exit 125"
    `);
    expect(await told("exec", "box")).toMatchInlineSnapshot(`
      "error: the command is missing
      hint: Say what to run: smolvm exec box -- ls (or smolvm shell box)
      exit 125"
    `);
  });

  test("values that are none", async () => {
    expect(await told("run", "--memory", "512", "--", "true")).toMatchInlineSnapshot(`
      "error: --memory: '512' has no unit
      hint: Say which you mean: --memory 512M or --memory 512G
      exit 125"
    `);
    expect(await told("create", "--memory", "64M")).toMatchInlineSnapshot(`
      "error: --memory: 64M is less than 128M
      hint: Give 128M to 16384M.
      exit 2"
    `);
    expect(await told("run", "--env", "=x", "--", "true")).toMatchInlineSnapshot(`
      "error: --env: '=x' has no name
      hint: Write --env NAME=VALUE
      exit 125"
    `);
    expect(await told("run", "-p", "8080:80", "-p", "8080:81", "--", "true")).toMatchInlineSnapshot(`
      "error: -p 8080:80 and -p 8080:81 both use host port 8080
      hint: Give each host port once.
      exit 125"
    `);
    expect(await told("exec", "--timeout", "2", "box", "true")).toMatchInlineSnapshot(`
      "error: --timeout: '2' has no unit
      hint: Say which you mean: --timeout 2s or --timeout 2ms
      exit 125"
    `);
  });

  test("names that nobody has", async () => {
    expect(await told("exec", "nobox", "true")).toMatch(
      /^error: there is no sandbox 'nobox'\nhint: .*smolvm ls.*\nexit 125$/,
    );
    expect(await told("info", "nobox")).toMatch(/^error: there is no sandbox 'nobox'\n[\s\S]*exit 1$/);
    // Where nobody listens: what is not here is looked for in a registry.
    const { text, stderr, code } = await cli(["run", "--image", "debain", "--", "true"], {
      env: { HTTPS_PROXY: "http://127.0.0.1:1" },
    });
    expect([text, code]).toEqual(["", 125]);
    expect(stderr).toMatch(/hint: Did you mean the image debian\? /);
    for (const image of ["debain", "python:3.12"]) {
      expect(await told("run", "--pull", "never", "--image", image, "--", "true")).toMatch(
        new RegExp(
          `^error: there is no image '${image}' for .*\nhint: Get it: smolvm image pull ${image}[\\s\\S]*exit 125$`,
        ),
      );
    }
  });

  test("a terminal where there is none", async () => {
    expect(await told("run", "-it", "--", "sh")).toMatchInlineSnapshot(`
      "error: -t needs a terminal, and stdin is not one
      hint: Leave -t out: output and input are streamed without it too.
      exit 125"
    `);
    expect(await told("shell", "box")).toMatchInlineSnapshot(`
      "error: shell needs a terminal, and stdin is not one
      hint: Run a command instead: smolvm exec box -- sh -c '...'
      exit 125"
    `);
  });

  test("what has to be confirmed and cannot be", async () => {
    expect(await told("rm")).toMatchInlineSnapshot(`
      "error: the sandbox's name is missing
      hint: Usage: smolvm rm [OPTIONS] NAME... | --all
      exit 2"
    `);
    expect(await told("rm", "--all", "box")).toMatch(
      /^error: --all and the name 'box' exclude each other\n[\s\S]*exit 2$/,
    );
  });

  test("is one JSON object with --json, and nothing on stderr", async () => {
    expect(await cli(["ls", "--json", "--stat"])).toMatchObject({ code: 2, stderr: "" });
    expect(await cliJson(["ls", "--stat"])).toEqual({
      code: 2,
      ok: false,
      command: "ls",
      data: null,
      error: {
        code: "USAGE",
        message: "unknown option '--stat'",
        hint: "Did you mean --state?",
        details: {},
      },
    });
    expect(JSON.parse((await cli(["--json", "exec", "nobox", "true"])).text)).toMatchObject({
      ok: false,
      command: "exec",
      error: { code: "VM_NOT_FOUND" },
    });
  });
});

describe("without any sandbox", () => {
  test("help and version go to stdout", async () => {
    for (const args of [[], ["help"], ["--help"], ["-h"]]) {
      const { code, text, stderr } = await cli(args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      expect(text).toMatch(/^Run untrusted code in disposable microVMs\.\n\nUsage: smolvm COMMAND/);
    }
    for (const args of [
      ["run", "--help"],
      ["help", "run"],
      ["run", "-h", "--", "x"],
    ]) {
      expect((await cli(args)).text).toMatch(/Usage: smolvm run \[OPTIONS\]/);
    }
    expect((await cli(["--version"])).text).toMatch(/^smolvm \d+\.\d+\.\d+\n$/);
    expect(await cliJson(["version"])).toMatchObject({ code: 0, ok: true, command: "version", error: null });
  });

  test("lists are empty tables, no names and empty arrays", async () => {
    expect((await cli(["ls"])).text).toBe("NAME  STATE  IMAGE  BACKEND  UPTIME  MEMORY  PORTS\n");
    expect(await cli(["ls", "-q"])).toMatchObject({ code: 0, text: "", stderr: "" });
    expect(await cliJson(["ls"])).toMatchObject({ ok: true, data: [] });
    expect(await cli(["rm", "--all"])).toMatchObject({ code: 0, text: "" });
  });

  test("a reader that goes away is no error", async () => {
    const run = await shell('set -o pipefail; smolvm help | true; echo "$?"');
    expect(run.stderr).toBe("");
    expect(["0\n", "141\n"]).toContain(run.text); // help may have been written before the reader left
  });

  test("a full disk behind stdout is one", async () => {
    const run = await shell("smolvm version >/dev/full; echo $?");
    expect(run.text).toBe("1\n");
    expect(run.stderr).toMatch(/^error: the output cannot be written: ENOSPC/);
  });

  test("no warnings of Node's reach the user", async () => {
    expect((await cli(["ls"])).stderr).toBe("");
  });

  test("verbose adds code and stack", async () => {
    expect((await cli(["info", "--verbose", "nobox"])).stderr).toMatch(
      /code: VM_NOT_FOUND\n[\s\S]*\n {4}at /,
    );
    expect((await cli(["info", "nobox"], { env: { SMOLVM_LOG: "debug" } })).stderr).toMatch(
      /code: VM_NOT_FOUND/,
    );
  });

  test("a home that cannot be made does not keep the version from being shown", async () => {
    const home = mkdtempSync(join(tmpdir(), "smt-"));
    const file = join(home, "file");
    writeFileSync(file, "");
    const env = { SMOLVM_HOME: join(file, "home") };
    expect(await cli(["version"], { env })).toMatchObject({ code: 0, stderr: "" });
    expect((await cli(["ls"], { env })).stderr).toMatch(/^error: .*\nhint: .*SMOLVM_HOME/);
    rmSync(home, { recursive: true });
  });

  test("a Node that is too old is told so in two lines", async () => {
    const pretend = `data:text/javascript,${encodeURIComponent(
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.17.1' } })",
    )}`;
    const child = spawn(process.execPath, ["--import", pretend, CLI.at(-1)!, "ls"], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const { code, text, stderr } = await new RunningCli(child).ended;
    expect({ code, text }).toEqual({ code: 125, text: "" });
    expect(stderr).toMatch(
      /^error: smolvm needs Node.js 22.18 or newer; this is 22.17.1 \(.*\)\nhint: Install .*\n$/,
    );
  });
});
