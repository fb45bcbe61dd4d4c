/**
 * `smolvm shell` in a Windows console: a terminal of ours, of which wine makes one. What wine cannot show: that a console changes its size (it
 * tells programs nothing of it), and how Windows' own draws.
 */
import assert from "node:assert/strict";
import { Terminal } from "../helpers/cli.ts";
import { type WindowsRun, windowsConsole } from "./wine.ts";

const BOX = "console";
/** Until something is shown, in ms: wine and an emulated guest on a busy machine are slow. */
const BOOT_MS = 60_000;

/**
 * Runs it all. Resolves to what failed, or undefined.
 * @param cli the words behind node.exe that are smolvm
 * @param run runs smolvm without a console
 */
export async function consoleTest(
  cli: readonly string[],
  env: Readonly<Record<string, string>>,
  run: (...words: string[]) => Promise<WindowsRun>,
): Promise<string | undefined> {
  const shell = (): Terminal => {
    const { argv, env: all } = windowsConsole([...cli, "shell", BOX], env);
    return new Terminal(argv, { cols: 91, rows: 23, env: all as Record<string, string> });
  };
  try {
    const made = await run("create", "--name", BOX, "--network", "off", "--memory", "256M", "--start");
    assert.equal(made.code, 0, made.stderr);

    const first = shell();
    await first.shows("~#", BOOT_MS); // wine's console draws by moving its cursor: a space is none
    // What is typed is on the screen as well, so it is not to be what is waited for.
    first.type("stty size; printf 'got %s\\n' gr\u00fc\u00dfe\r");
    await first.shows("23 91", BOOT_MS);
    await first.shows(Buffer.from("got gr\u00fc\u00dfe").toString("latin1"), BOOT_MS); // the screen is kept as bytes
    // Ctrl-C is the guest's: it ends what runs there, and nothing here.
    first.type('echo wa""its; sleep 1000\r');
    await first.shows("waits", BOOT_MS);
    first.type("\x03");
    await first.shows("^C", BOOT_MS);
    first.type("echo code $?\r");
    await first.shows("code 130", BOOT_MS);
    // A key that is several bytes: the line before.
    first.type("\x1b[A\r");
    await first.shows(/code 130.*code 0/s, BOOT_MS);
    first.type("exit 3\r");
    assert.equal(await first.ended, 3);

    const second = shell();
    await second.shows("~#", BOOT_MS);
    second.type("\x1d\x1d\x1d");
    assert.equal(await second.ended, 129, second.screen); // left, as by closing the window
    const after = await run("exec", BOX, "--", "echo", "goes on");
    assert.equal(after.stdout, "goes on\n", after.stderr);
    return undefined;
  } catch (error) {
    return (error as Error).stack ?? String(error);
  } finally {
    await run("rm", "-f", BOX);
  }
}
