import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CLI, cli, createBox, Terminal } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

beforeAll(() => createBox("box"));
afterAll(async () => {
  await cli(["rm", "-f", "box"]);
});

/** bash on a terminal, with `smolvm` as a function and a prompt that is easy to wait for. */
async function bash(): Promise<Terminal> {
  const words = CLI.map((word) => `'${word}'`).join(" ");
  const terminal = new Terminal(["bash", "--norc", "--noprofile"], {
    env: { HISTFILE: "/dev/null" },
  });
  await terminal.shows(/bash-[\d.]+[#$] $/);
  terminal.type(`smolvm() { ${words} "$@"; }\n`);
  return terminal;
}

/** What a cooked terminal says of itself. */
const COOKED =
  "stty -a | grep -o -w -e '-*icanon' -e '-*echo' -e '-*isig' | tr '\\n' ' '; echo end-of-stty\n";

describe("exec -t", () => {
  test("is a terminal of the same size and kind, and passes the exit code on", async () => {
    const terminal = Terminal.cli(
      ["exec", "-it", "box", "--", "sh", "-c", "tty; stty size; echo $TERM; exit 3"],
      {
        cols: 97,
        rows: 31,
      },
    );
    expect(await terminal.ended).toBe(3);
    expect(terminal.screen).toMatch(/^\/dev\/pts\/\d+\r\n31 97\r\nxterm-256color\r\n$/);
  });

  test("follows the size of the window", async () => {
    const terminal = Terminal.cli([
      "exec",
      "-it",
      "box",
      "--",
      "bash",
      "-c",
      "trap 'stty size; echo sized' WINCH; echo ready; while :; do read -rt 0.2; done",
    ]);
    await terminal.shows("ready");
    terminal.resize(101, 41);
    await terminal.shows("41 101");
    // Only then: a shell that waits for a program (stty) lets that one decide what Ctrl-C means.
    await terminal.shows("sized");
    terminal.type("\x03");
    expect(await terminal.ended).toBe(130);
  });

  test("hands keys on as they are typed: Ctrl-C, Ctrl-Z and Ctrl-D are the guest's", async () => {
    const terminal = Terminal.cli(["exec", "-it", "box", "--", "bash", "--norc", "-i"]);
    await terminal.shows(/# $/);
    // It forks nothing: a child that is stopped between vfork and exec keeps its parent from stopping.
    terminal.type('sh -c \'trap "echo on again" CONT; echo u""p; while :; do read -r x; done\'\n');
    await terminal.shows("up\r\n");
    terminal.type("\x1a");
    await terminal.shows("Stopped");
    await terminal.shows(/Stopped[\s\S]*# $/);
    terminal.type("fg\n");
    // Not before it says so: bash prints the command line while it still has the terminal itself.
    await terminal.shows(/fg\r\n[\s\S]*on again\r\n/);
    terminal.type("\x03");
    await terminal.shows(/\^C[\s\S]*# $/);
    terminal.type("echo after=$?\n");
    await terminal.shows("after=130\r\n");
    terminal.type("\x04");
    expect(await terminal.ended).toBe(0);
  });

  test("shows everything that a fast program prints before it ends", async () => {
    const terminal = Terminal.cli(["exec", "-t", "box", "--", "seq", "20000"]);
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen.split("\r\n")).toHaveLength(20_001);
    expect(terminal.screen).toMatch(/\r\n20000\r\n$/);
  });

  test("keeps a time limit", async () => {
    const terminal = Terminal.cli(["exec", "-t", "--timeout", "1s", "box", "--", "sleep", "1000"]);
    expect(await terminal.ended).toBe(124);
    expect(terminal.screen).toMatch(/did not finish within 1000 ms/);
  });

  test("can be left with Ctrl-] three times when the guest does not listen", async () => {
    const terminal = Terminal.cli([
      "exec",
      "-t",
      "box",
      "--",
      "sh",
      "-c",
      "trap '' HUP INT; stty -echo; echo deaf; sleep 1000",
    ]);
    await terminal.shows("deaf");
    terminal.type("\x1d\x1d\x1d");
    expect(await terminal.ended).toBe(129);
  });

  test("ends with its window", async () => {
    const terminal = Terminal.cli(["exec", "-t", "box", "--", "sh", "-c", "echo here; exec sleep 4713"]);
    await terminal.shows("here");
    terminal.hangUp();
    await terminal.ended;
    const gone = "for i in $(seq 100); do pgrep -f '[s]leep 4713' || exit 0; sleep 0.1; done; exit 1";
    expect((await cli(["exec", "box", "--", "sh", "-c", gone])).code).toBe(0);
  });
});

describe("the host's terminal is put back", () => {
  test("after an ordinary end", async () => {
    const terminal = await bash();
    terminal.type("smolvm exec -it box -- true; stty -a >/dev/null; echo ended\n");
    await terminal.shows(/[\r\n]ended\r\n/);
    terminal.type(COOKED);
    await terminal.shows("isig icanon echo end-of-stty");
    terminal.hangUp();
  });

  test("after SIGTERM, in the middle of a full-screen program", async () => {
    const terminal = await bash();
    terminal.type(
      "smolvm exec -it box -- sh -c 'printf \"\\033[?1049h\\033[?25l\"; echo full-screen; sleep 1000'; echo ended $?\n",
    );
    await terminal.shows(/full-screen\r?\n/);
    terminal.type("\x1d"); // once is not three times
    const other = await cli(["exec", "box", "true"]); // the session is alive
    expect(other.code).toBe(0);
    const killer = new Terminal(["pkill", "-TERM", "-f", "exec -it box -- sh -c printf"]);
    await killer.ended;
    await terminal.shows("ended 143");
    expect(terminal.screen).toContain("\x1b[?1049l");
    expect(terminal.screen).toContain("\x1b[?25h");
    terminal.type(COOKED);
    await terminal.shows("isig icanon echo end-of-stty");
    terminal.hangUp();
  });
});

describe("shell", () => {
  test("is a login shell in the sandbox", async () => {
    const terminal = Terminal.cli(["shell", "box"]);
    await terminal.shows(/# $/);
    terminal.type("shopt -q login_shell && echo it-is-$((40+2)) $HOSTNAME; exit 5\n");
    expect(await terminal.ended).toBe(5);
    expect(terminal.screen).toMatch(/it-is-42 box/);
  });

  test("of a new sandbox is run -it without a command", async () => {
    const terminal = Terminal.cli(["run", "-it", "--network", "off", "--memory", "256M"]);
    await terminal.shows(/# $/, 60_000);
    terminal.type("exit 6\n");
    expect(await terminal.ended).toBe(6);
  });
});

describe("what people see", () => {
  test("progress is one line that goes away, and nothing with --quiet", async () => {
    const options = ["run", "--network", "off", "--memory", "256M"];
    const terminal = Terminal.cli([...options, "--", "echo", "hello"]);
    expect(await terminal.ended).toBe(0);
    expect(terminal.screen).toMatch(/\r[a-z ]+\(\d+\.\d s\)\x1b\[K/);
    expect(terminal.screen).toMatch(/\r\x1b\[Khello\r\n$/);
    const quiet = Terminal.cli([...options, "--quiet", "--", "echo", "hello"]);
    expect(await quiet.ended).toBe(0);
    expect(quiet.screen).toBe("hello\r\n");
  });

  test("errors are coloured, but not against NO_COLOR", async () => {
    const coloured = Terminal.cli(["info", "nobox"]);
    await coloured.ended;
    expect(coloured.screen).toContain("\x1b[31merror:\x1b[39m there is no sandbox 'nobox'");
    const plain = Terminal.cli(["info", "nobox"], { env: { NO_COLOR: "1" } });
    await plain.ended;
    expect(plain.screen).not.toContain("\x1b");
  });

  test("rm --all asks, and takes anything but yes for a no", async () => {
    const asked = Terminal.cli(["rm", "--all"]);
    await asked.shows("Remove the sandbox box with all files in it? [y/N] ");
    asked.type("\n");
    expect(await asked.ended).toBe(1);
    expect(asked.screen).toContain("nothing was removed");
    const interrupted = Terminal.cli(["rm", "--all"]);
    await interrupted.shows("[y/N] ");
    interrupted.type("\x03");
    expect(await interrupted.ended).toBe(130);
    expect((await cli(["ls", "-q"])).text).toBe("box\n");
  });
});
