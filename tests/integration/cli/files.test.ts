import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { cli, cliJson, createBox, shell, startCli } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

useTempHome();

const here = mkdtempSync(join(tmpdir(), "smt-files-"));
beforeAll(() => createBox("box"));
afterAll(async () => {
  await cli(["rm", "-f", "box"]);
  rmSync(here, { recursive: true });
});
beforeEach(async () => {
  await cli(["exec", "box", "--", "sh", "-c", "rm -rf /w; mkdir /w"]);
});

const cp = (...words: string[]): ReturnType<typeof cli> => cli(["cp", ...words], { cwd: here });
const guest = async (line: string): Promise<string> =>
  (await cli(["exec", "box", "--", "sh", "-c", line])).text;

describe("cp", () => {
  test("a file goes in and out with its mode and time, without a word", async () => {
    writeFileSync(join(here, "a.txt"), "content\n", { mode: 0o750 });
    utimesSync(join(here, "a.txt"), 1_000_000_000, 1_000_000_000);
    expect(await cp("a.txt", "box:/w/b.txt")).toMatchObject({ code: 0, text: "", stderr: "" });
    expect(await guest("stat -c '%a %Y' /w/b.txt; cat /w/b.txt")).toBe("750 1000000000\ncontent\n");
    expect(await cp("box:/w/b.txt", "c.txt")).toMatchObject({ code: 0, text: "", stderr: "" });
    expect(readFileSync(join(here, "c.txt"), "utf8")).toBe("content\n");
    expect(statSync(join(here, "c.txt")).mode & 0o777).toBe(0o750);
    expect(statSync(join(here, "c.txt")).mtimeMs).toBe(1_000_000_000_000);
  });

  test("within the sandbox a copy goes where one from here would, and not into itself", async () => {
    await guest(
      "mkdir -p /w/src/sub /w/dst; echo 1 > /w/src/sub/f; mkfifo /w/src/pipe; ln -s sub/f /w/src/link",
    );
    expect(await cp("box:/w/src/sub/f", "box:/w/g")).toMatchObject({ code: 0, text: "", stderr: "" });
    const { data } = await cliJson(["cp", "box:/w/src", "box:/w/dst"]);
    const copied = { source: "box:/w/src", target: "box:/w/dst/src", entries: 3, bytes: 2, skippedCount: 1 };
    expect(data).toEqual(copied);
    expect(await cp("box:/w/src/.", "box:/w/dst")).toMatchObject({
      code: 0,
      stderr: "note: left out 1 devices, pipes or sockets\n",
    });
    expect(await guest("cd /w; cat g dst/link; readlink dst/src/link; ls dst")).toBe(
      "1\n1\nsub/f\nlink\nsrc\nsub\n",
    );
    const itself = await cp("box:/w/src", "box:/w/src/sub");
    expect(itself.stderr).toContain("a directory cannot be copied into itself");
    expect(await cp("box:/w/none", "box:/w/x")).toMatchObject({ stderr: /box:\/w\/none does not exist/ });
    expect((await cp("box:/w/g", "other:/w/g")).stderr).toContain(
      "smolvm cp ONE:/SRC - | smolvm cp - OTHER:/DST",
    );
  });

  test("a relative path in the sandbox is where its commands run", async () => {
    await guest("rm -rf ~/rel; mkdir ~/rel");
    writeFileSync(join(here, "a.txt"), "x");
    expect(await cp("a.txt", "box:rel")).toMatchObject({ code: 0, stderr: "" });
    expect(await cp("box:rel/a.txt", "box:./rel/b")).toMatchObject({ code: 0, stderr: "" });
    expect(await cp("box:rel/.", "rel")).toMatchObject({ code: 0, stderr: "" });
    expect(await guest("ls rel")).toBe("a.txt\nb\n");
    expect(readFileSync(join(here, "rel", "b"), "utf8")).toBe("x");
    expect(await cp("a.txt", "box:~/c")).toMatchObject({ code: 1, stderr: /box:~\/c|'~\/c'/ });
    expect((await cp("a.txt", "box:")).stderr).toContain("Its working directory is box:.");
  });

  test("into an existing directory a copy goes under its own name", async () => {
    writeFileSync(join(here, "a.txt"), "x");
    await cp("a.txt", "box:/w");
    await cp("./a.txt", "box:/w/");
    mkdirSync(join(here, "tree/sub"), { recursive: true });
    writeFileSync(join(here, "tree/sub/leaf"), "leaf");
    symlinkSync("sub/leaf", join(here, "tree/link"));
    await cp("tree", "box:/w");
    await cp("tree/.", "box:/w/content");
    await cp("tree", "box:/w/new");
    expect(await guest("cd /w; find . | sort; cat tree/link")).toBe(
      [
        ".",
        "./a.txt",
        "./content",
        "./content/link",
        "./content/sub",
        "./content/sub/leaf",
        "./new",
        "./new/link",
        "./new/sub",
        "./new/sub/leaf",
        "./tree",
        "./tree/link",
        "./tree/sub",
        "./tree/sub/leaf",
        "leaf",
      ].join("\n"),
    );
    mkdirSync(join(here, "out"));
    await cp("box:/w/tree", "out");
    expect(readFileSync(join(here, "out/tree/sub/leaf"), "utf8")).toBe("leaf");
    await cp("box:/w/tree/.", "out");
    expect(readFileSync(join(here, "out/link"), "utf8")).toBe("leaf");
  });

  test("what cannot be is said in the words that were typed", async () => {
    writeFileSync(join(here, "a.txt"), "x");
    const said = async (...words: string[]): Promise<string> => (await cp(...words)).stderr;
    const lookThere =
      "hint: Look whether the path is right, and on which side: one of this machine, or of the sandbox.\n";
    expect(await said("nope.txt", "box:/w")).toBe(`error: nope.txt does not exist\n${lookThere}`);
    expect(await said("box:/nope", ".")).toBe(`error: box:/nope does not exist\n${lookThere}`);
    expect(await said("a.txt", "box:/w/nope/")).toMatch(
      /^error: the directory box:\/w\/nope\/ does not exist\nhint: /,
    );
    expect(await said("a.txt", "b.txt")).toMatch(
      /^error: neither path is in a sandbox\nhint: Write: smolvm cp a.txt NAME:b.txt\n$/,
    );
    expect(await said("box:w", ".")).toBe(`error: box:w does not exist\n${lookThere}`);
    expect(await said("a.txt", "nobox:/w")).toMatch(/^error: there is no sandbox 'nobox'/);
  });

  test("--json counts what was copied", async () => {
    writeFileSync(join(here, "a.txt"), "12345");
    const { data } = await cliJson(["cp", join(here, "a.txt"), "box:/w"]);
    expect(data).toMatchObject({ target: "box:/w/a.txt", entries: 1, bytes: 5, skipped: [] });
  });

  test("names that the guest chose cannot steer the terminal", async () => {
    await guest("mkdir /w/evil; ln -s /etc/passwd \"/w/evil/$(printf 'a\\033[2Jb')\"");
    const { stderr, code } = await cp("box:/w/evil", "evil");
    expect(code).toBe(0);
    expect(stderr).toContain("note: left out a\\x1b[2Jb: ");
    expect(stderr).not.toContain("\x1b");
  });
});

describe("cp of a tar stream", () => {
  test("unpacks stdin into a directory, and packs a file or directory to stdout", async () => {
    mkdirSync(join(here, "site/css"), { recursive: true });
    writeFileSync(join(here, "site/index.html"), "<p>", { mode: 0o640 });
    writeFileSync(join(here, "site/css/main.css"), "p {}");
    symlinkSync("index.html", join(here, "site/home"));
    utimesSync(join(here, "site/index.html"), 1_000_000_000, 1_000_000_000);
    const line = (words: string): ReturnType<typeof shell> =>
      shell(`cd '${here}'; set -o pipefail; ${words}`);
    expect(await line("tar -cz -C site . | gzip -d | smolvm cp - box:/w/site")).toMatchObject({
      code: 0,
      text: "",
      stderr: "",
    });
    expect(await guest("cd /w/site; stat -c '%n %a %Y' index.html; cat css/main.css; readlink home")).toBe(
      "index.html 640 1000000000\np {}index.html\n",
    );
    expect((await line("smolvm cp box:/w/site - | tar -t | sort")).text).toBe(
      "site/\nsite/css/\nsite/css/main.css\nsite/home\nsite/index.html\n",
    );
    expect(
      (await line("smolvm cp box:/w/site/. - | tar -x -O ./css/main.css css/main.css 2>&1")).text,
    ).toContain("p {}");
    expect((await line("smolvm cp box:/w/site/index.html - | tar -x -O")).text).toBe("<p>");
    // From one place of the sandbox to another.
    expect((await line("smolvm cp box:/w/site - | smolvm cp - box:/w/copy")).code).toBe(0);
    expect(await guest("diff -r /w/site /w/copy/site && echo same")).toBe("same\n");
    expect(await cliJson(["cp", "-", "box:/w/json"], { input: readFileSync(await archive()) })).toMatchObject(
      {
        code: 0,
        data: { source: "-", target: "box:/w/json", entries: 1, bytes: 3, skipped: [] },
      },
    );
  });

  /** An archive with the one file index.html. */
  async function archive(): Promise<string> {
    await shell(`tar -c -C '${here}/site' -f '${here}/one.tar' index.html`);
    return join(here, "one.tar");
  }

  test("ends when its reader or writer does, and says what is wrong with an archive", async () => {
    expect((await shell("smolvm cp box:/usr/lib - | head -c 5000 | wc -c")).text).toBe("5000\n");
    const cut = await cli(["cp", "-", "box:/w"], { input: readFileSync(await archive()).subarray(0, 513) });
    expect(cut).toMatchObject({ code: 1, text: "" });
    expect(cut.stderr).toBe(
      "error: the archive is damaged: it ends in the middle of 'index.html'\nhint: Make it again, and look at what is in it: tar -tvf FILE\n",
    );
    const zipped = await cli(["cp", "-", "box:/w"], {
      input: Buffer.from("1f8b08000000000000030300", "hex"),
    });
    expect(zipped.stderr).toContain("error: the archive is damaged: it is compressed with gzip\nhint: ");
    expect((await cli(["cp", "-", "box:/w"])).stderr).toContain("it is empty"); // /dev/null
    const open = startCli(["cp", "-", "box:/etc/hostname"], { openStdin: true }); // stdin never ends
    expect(await open.ended).toMatchObject({ code: 1, stderr: expect.stringContaining("not a directory") });
    expect(await shell("smolvm cp - box:/w < /tmp")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: .* the archive could not be read: EISDIR.*\nhint: /),
    });
    expect(await cli(["cp", "-", "-"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("neither side is in a sandbox"),
    });
    expect(await cli(["cp", "box:/w", "-", "--json"])).toMatchObject({ code: 2 });
    expect((await cli(["cp", "box:/none", "-"])).stderr).toContain("no such file or directory in the guest");
  });

  test("says what it left out of an archive, for want of a place in the archive itself", async () => {
    await guest(
      "mkdir /w/links; cd /w/links; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ln -s /etc/$i l$i; done",
    );
    const packed = await cli(["cp", "box:/w/links", "-"]);
    expect(packed.code).toBe(0);
    expect(packed.stderr).toContain("note: left out l1: a symlink that leads out of the directory\n");
    expect(packed.stderr).toMatch(/\nnote: left out 2 more\n$/);
  });

  test("can be interrupted", async () => {
    const run = startCli(["cp", "-", "box:/w/never"], { openStdin: true });
    await until("the guest has begun", async () => (await guest("ls /w")) === "never\n");
    run.child.kill("SIGINT");
    expect((await run.ended).code).toBe(130);
  });
});

describe("port", () => {
  test("prints the address, forwards until it is interrupted, and ends well", async () => {
    const server = startCli([
      "exec",
      "box",
      "--",
      "python3",
      "-u",
      "-c",
      "import socket as s; l=s.create_server(('127.0.0.1', 7)); print('up')\nwhile 1: c=l.accept()[0]; c.sendall(c.recv(9).upper()); c.close()",
    ]);
    await server.printed("up");
    const port = startCli(["port", "--foreground", "box", "7"]);
    await port.printed("\n");
    expect(port.stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n$/);
    await until("the note", () => /^forwarding .* -> port 7 of box; Ctrl-C ends it\n$/.test(port.stderr));
    const { hostname, port: number } = new URL(port.stdout);
    const answer = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(number), hostname, () => socket.write("hello"));
      socket.on("data", (data) => resolve(data.toString())).on("error", reject);
    });
    expect(answer).toBe("HELLO");
    port.child.kill("SIGINT");
    expect((await port.ended).code).toBe(0);
    server.child.kill("SIGINT");
    await server.ended;
  });

  test("says which host port is taken", async () => {
    const first = startCli(["port", "--foreground", "--json", "box", "7"]);
    await first.printed("\n");
    const { hostPort } = JSON.parse(first.stdout).data;
    const second = await cli(["port", "box", "7", "--host-port", String(hostPort)]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(String(hostPort));
    first.child.kill("SIGTERM");
    expect((await first.ended).code).toBe(0);
  });
});
