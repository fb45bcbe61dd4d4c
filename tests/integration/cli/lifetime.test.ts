import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/smolvm.ts";
import { cli, cliJson, createBox, shell, startCli, Terminal } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

useTempHome();

beforeAll(() => createBox("box"));
afterAll(async () => {
  await cli(["rm", "--all", "-f"]);
});

describe("restart", () => {
  test("boots it anew with its disk, and keeps the ports of its process open", async () => {
    const before = (await cliJson(["info", "box"])).data;
    await using vm = await SmolVM.get("box");
    const note = "echo kept > /root/note; touch /dev/shm/gone; cat /proc/sys/kernel/random/boot_id";
    const first = await vm.run(note);
    const port = await vm.ports.expose(80);

    await vm.restart();
    const after = await vm.run("cat /root/note; ls /dev/shm; cat /proc/sys/kernel/random/boot_id");
    expect(after.stdout).toMatch(/^kept\n[0-9a-f-]{36}\n$/);
    expect(after.stdout).not.toContain(first.stdout);
    expect(vm.ports.list()).toEqual([port]);
    expect((await vm.info()).pid).not.toBe(before.pid);
  });

  test("starts what is stopped, and prints the names", async () => {
    expect((await cli(["stop", "box"])).code).toBe(0);
    expect(await cli(["restart", "box"])).toMatchObject({ code: 0, text: "box\n" });
    expect((await cli(["exec", "box", "cat", "/root/note"])).text).toBe("kept\n");
  });

  test("of what is not there fails with a hint", async () => {
    expect(await cli(["restart", "nobox"])).toMatchObject({
      code: 1,
      text: "",
      stderr: "error: there is no sandbox 'nobox'\nhint: List them: smolvm ls\n",
    });
  });
});

describe("stats", () => {
  test("tell what the sandbox uses of this machine", async () => {
    const before = (await cliJson(["stats", "box"])).data[0];
    expect(before).toMatchObject({ name: "box", state: "running", memSizeMib: 256, diskSizeMib: 2048 });
    expect(before.memoryBytes).toBeGreaterThan(30 * 2 ** 20);
    expect(before.cpuTimeMs).toBeGreaterThan(0);
    const busy = "dd if=/dev/urandom of=/root/big bs=1M count=16 2>/dev/null; sync";
    expect((await cli(["exec", "box", "--", "sh", "-c", busy])).code).toBe(0);
    await using vm = await SmolVM.get("box");
    const after = await vm.stats();
    expect(after.diskBytes! - before.diskBytes).toBeGreaterThan(15 * 2 ** 20);
    expect(after.cpuTimeMs).toBeGreaterThan(before.cpuTimeMs);
    expect((await cli(["stats", "box"])).text).toMatch(
      /^NAME .*\nbox +running +[\d.]+s +[\d.]+M \/ 256M +[\d.]+M \/ 2G\n$/,
    );
    expect(await cli(["stats", "box", "nobox"])).toMatchObject({
      code: 1,
      text: "",
      stderr: expect.stringMatching(/^error: 1 of 2 failed:\n {2}there is no sandbox 'nobox'\n/),
    });
  });
});

describe("logs -f", () => {
  const say = (text: string): Promise<unknown> =>
    cli(["exec", "box", "--", "sh", "-c", `printf '${text}' > /dev/console`]);

  test("prints what is kept, then what comes, across the console's rotation", async () => {
    const follower = startCli(["logs", "-f", "box"]);
    await follower.printed("smolvm-agent: ready");
    await say("hello\\n");
    await follower.printed("hello");
    // More than half of what is kept: the file is renamed at least once.
    await cli([
      ...["exec", "box", "--", "sh", "-c"],
      "i=0; while [ $i -lt 120 ]; do printf '%5000s\\n' line-$i; i=$((i+1)); done > /dev/console",
    ]);
    await say("after\\n");
    await follower.printed("after");
    follower.child.kill("SIGINT");
    const { code, text, stderr } = await follower.ended;
    expect({ code, stderr }).toEqual({ code: 130, stderr: "" });
    expect([...text.matchAll(/line-(\d+)/g)].map((match) => Number(match[1]))).toEqual(
      Array.from({ length: 120 }, (_, i) => i),
    );
  });

  test("shows a terminal no control characters", async () => {
    const terminal = Terminal.cli(["logs", "-f", "--tail", "1", "box"]);
    await terminal.shows("after");
    await say("\\033[31mred\\n");
    await terminal.shows("\\x1b[31mred\r\n");
    terminal.type("\x03");
    expect(await terminal.ended).toBe(130);
  });

  test("ends when the sandbox stops, and at once for one that is stopped", async () => {
    const follower = startCli(["logs", "-f", "-n", "1", "box"]);
    await until("it follows", () => follower.stdout !== "");
    const collector = startCli(["logs", "--follow", "--json", "-n", "0", "box"]);
    expect((await cli(["stop", "box"])).code).toBe(0);
    expect(await follower.ended).toMatchObject({
      code: 0,
      stderr: "",
      text: expect.stringMatching(/goodbye/),
    });
    expect(JSON.parse((await collector.ended).text)).toMatchObject({ ok: true, command: "logs" });
    expect(await cli(["logs", "-f", "-n", "5", "box"])).toMatchObject({
      code: 0,
      text: expect.stringMatching(/goodbye/),
    });
    expect((await cli(["logs", "-f", "nobox"])).code).toBe(1);
    expect((await cli(["ls", "-q", "--state", "stopped"])).text).toBe("box\n");
    expect((await cli(["ls", "-q", "--state", "running"])).text).toBe("");
    expect(await cli(["ls", "--state", "runing"])).toMatchObject({
      code: 2,
      stderr: "error: --state: 'runing' is not a state\nhint: Did you mean --state running?\n",
    });
    const stopped = (await cliJson(["stats", "box"])).data[0];
    expect(stopped).toMatchObject({ state: "stopped", diskBytes: expect.any(Number) });
    expect(stopped.memoryBytes).toBeUndefined();
  });
});

describe("completion", () => {
  /** What bash offers when Tab is pressed behind each of the lines. */
  async function offered(...lines: string[]): Promise<string[]> {
    const presses = lines.map((line) => `COMPREPLY=(); COMP_LINE=${JSON.stringify(line)}; press`).join("; ");
    const run = await shell(
      `eval "$(smolvm completion bash)"; complete -p smolvm; cd '${import.meta.dirname}'
       press() { COMP_POINT=\${#COMP_LINE}; _smolvm smolvm; echo "\${COMPREPLY[*]}"; }; ${presses}`,
    );
    expect(run.stderr.replaceAll(/^.*compopt: not currently executing.*\n/gm, "")).toBe("");
    const [registered, ...answers] = run.text.split("\n");
    expect(registered).toBe("complete -F _smolvm smolvm");
    return answers.slice(0, lines.length);
  }

  test("of bash offers commands, options, their values and names", async () => {
    const pairs: Readonly<Record<string, string>> = {
      "smolvm rest": "restart",
      "smolvm image in": "inspect",
      "smolvm --quiet ls --st": "--state",
      "smolvm ls --state st": "starting stopping stopped",
      "smolvm ls --state=ru": "running",
      "smolvm create --backend f": "firecracker",
      "smolvm start ": "box",
      "smolvm start bo": "box",
      "smolvm start --timeout 5s b": "box",
      "smolvm start --timeout ": "",
      "smolvm logs box ": "",
      "smolvm logs box --f": "--follow",
      "smolvm exec --env A=1 b": "box",
      "smolvm exec box --ti": "--timeout",
      "smolvm exec box -- ls --": "",
      "smolvm exec box ls --ti": "",
      "smolvm run --kernel lifet": "lifetime.test.ts",
      "smolvm cp b": "box:",
      "smolvm cp lifet": "lifetime.test.ts",
      "smolvm cp box:/e": "",
      "smolvm completion z": "zsh",
      "smolvm help imag": "image",
      "smolvm nonsense ": "",
    };
    const answers = await offered(...Object.keys(pairs));
    expect(Object.fromEntries(Object.keys(pairs).map((line, i) => [line, answers[i]]))).toEqual(pairs);
  });

  test("for an unknown shell names those that there are", async () => {
    expect(await cli(["completion", "nushell"])).toMatchObject({
      code: 2,
      stderr:
        "error: there is no completion for the shell 'nushell'\nhint: Shells: bash, zsh, fish, powershell\n",
    });
    expect(await cliJson(["completion", "fish"])).toMatchObject({ ok: true, data: { shell: "fish" } });
  });
});
