import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cli, cliJson, createBox, shell } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

const here = mkdtempSync(join(tmpdir(), "smt-env-"));
beforeAll(async () => {
  writeFileSync(join(here, "app.env"), "# the app\nFROM_FILE=a b\nOVER=file\nMINE\nNOT_HERE\n");
  await createBox(
    ...["box", "--hostname", "web-1.example", "--env-file", join(here, "app.env"), "-e", "OVER=flag"],
    ...["--workdir", "/var/tmp", "--user", "nobody:mail"],
  );
});
afterAll(async () => {
  await cli(["rm", "-f", "box"]);
  rmSync(here, { recursive: true });
});

/** A line of bash in which `smolvm` is what a checkout has: Node, started without dashes, reads --env-file itself. */
const launcher = (words: string): ReturnType<typeof cli> =>
  shell(`cd '${here}'; '${join(import.meta.dirname, "../../../bin/smolvm")}' ${words}`);

const sh = async (line: string, ...options: string[]): Promise<string> =>
  (await cli(["exec", ...options, "box", "--", "sh", "-c", line], { cwd: here })).text;

describe("create", () => {
  test("gives every command its host name, directory, user and environment", async () => {
    expect(
      await sh("hostname; pwd; id -un; id -gn; echo $FROM_FILE $OVER $(printenv NOT_HERE || echo unset)"),
    ).toBe("web-1.example\n/var/tmp\nnobody\nmail\na b flag unset\n");
    expect((await cliJson(["info", "box"])).data).toMatchObject({ hostname: "web-1.example" });
  });

  test("says which line of an environment file is wrong, and makes nothing", async () => {
    writeFileSync(join(here, "bad.env"), "A=1\nnot a name=x\n");
    const bad = await cli(["create", "--name", "other", "--env-file", "bad.env"], { cwd: here });
    expect(bad).toMatchObject({ code: 2, text: "" });
    expect(bad.stderr).toBe(
      "error: --env-file: bad.env:2: the name 'not a name' has a space in it\n" +
        "hint: Write NAME=VALUE, or NAME alone for your own value of it.\n",
    );
    const none = await launcher("run --env-file none.env -- true");
    expect(none).toMatchObject({
      code: 125,
      stderr: expect.stringMatching(/^error: --env-file: 'none.env' does not exist\nhint: .*\n$/),
    });
    expect((await cli(["create", "--hostname", "no_name!"])).stderr).toContain("--hostname: ");
    expect((await cli(["ls", "-q"])).text).toBe("box\n");
  });
});

describe("exec", () => {
  test("has a directory, user and environment of its own over the sandbox's", async () => {
    const options = ["-w", "/etc", "-u", "root", "--env-file", "app.env", "-e", "FROM_FILE=flag"];
    const run = await cli(
      ["exec", ...options, "box", "--", "sh", "-c", "pwd; id -un; echo $FROM_FILE $OVER $MINE"],
      {
        cwd: here,
        env: { MINE: "the caller's" },
      },
    );
    expect(run).toMatchObject({ code: 0, text: "/etc\nroot\nflag file the caller's\n" });
    expect(run.stderr).toBe("note: NOT_HERE is not set here, so NOT_HERE in app.env sets nothing\n");
  });

  test("reads an environment file that is a pipe", async () => {
    expect((await launcher("exec --env-file <(echo A=piped) box -- sh -c 'echo $A'")).text).toBe("piped\n");
  });
});

describe("env", () => {
  test("shows, sets and takes away what commands get from then on, also after a restart", async () => {
    const before = await cli(["env", "box"]);
    expect(before).toMatchObject({ code: 0, text: "FROM_FILE=a b\nOVER=flag\n", stderr: "" });
    expect(await cli(["env", "box", "NEW=x=y", "OVER=", "--unset", "FROM_FILE"])).toMatchObject({
      code: 0,
      text: "",
      stderr: "",
    });
    expect(await sh('echo "$NEW,$OVER,$(printenv FROM_FILE || echo unset)"')).toBe("x=y,,unset\n");
    expect(await cli(["env", "box", "NEW"])).toMatchObject({ code: 0, text: "x=y\n" });
    expect((await cli(["restart", "box"])).code).toBe(0);
    expect(await sh('echo "$NEW,$OVER,$(printenv FROM_FILE || echo unset)"')).toBe("x=y,,unset\n");
    expect(await cliJson(["env", "box", "--env-file", join(here, "app.env"), "OVER=3"])).toMatchObject({
      code: 0,
      data: { name: "box", env: { NEW: "x=y", OVER: "3", FROM_FILE: "a b" } },
    });
  });

  test("asked for what is not set fails, like printenv", async () => {
    expect(await cli(["env", "box", "NOPE"])).toMatchObject({
      code: 1,
      text: "",
      stderr: "NOPE is not set in box\n",
    });
    await cli(["env", "box", "--unset", "NOPE"]); // is fine
  });

  test("changes all or nothing, and says why", async () => {
    const { data } = await cliJson(["env", "box"]);
    const long = await cli(["env", "box", "A=1", `B=${"x".repeat(100_000)}`, `C=${"x".repeat(100_000)}`]);
    expect(long.code).toBe(0);
    const more = await cli(["env", "box", "GOOD=1", `D=${"secret".repeat(15_000)}`]);
    expect(more.code).toBe(2);
    expect(more.stderr).toMatch(/^error: the environment is longer than 262144 bytes\nhint: .*\n$/);
    expect((await cli(["env", "box", "GOOD"])).code).toBe(1);
    await cli(["env", "box", "--unset", "A", "--unset", "B", "--unset", "C"]);
    expect((await cliJson(["env", "box"])).data).toEqual(data);
    expect(await cli(["env", "box", "A", "B=1"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("Write A=VALUE to set it"),
    });
    expect((await cli(["env", "nobox"])).stderr).toContain("there is no sandbox 'nobox'");
  });

  test("changes of several processes at once are all kept", async () => {
    const names = Array.from({ length: 6 }, (_, n) => `RACE_${n}`);
    await Promise.all(names.map((name) => cli(["env", "box", `${name}=1`])));
    const { data } = await cliJson(["env", "box", ...names]);
    expect(Object.keys(data.env).sort()).toEqual(names);
  });
});
