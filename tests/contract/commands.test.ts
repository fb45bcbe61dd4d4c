import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../src/index.ts";
import { BACKENDS, small } from "../helpers/backends.ts";
import { useTempHome } from "../helpers/home.ts";
import { until } from "../helpers/wait.ts";

useTempHome();

describe.each(BACKENDS)("commands on %s", (backend) => {
  let vm: SmolVM;
  beforeAll(async () => {
    vm = await SmolVM.create(small(backend));
  });
  afterAll(async () => {
    await vm.delete({ force: true });
  });

  test("give their exit code, and the signal that ended them", async () => {
    expect(await vm.run("exit 7")).toMatchObject({ exitCode: 7, ok: false, signal: undefined });
    expect(await vm.run("kill -9 $$")).toMatchObject({ signal: "SIGKILL", ok: false });
    await expect(vm.run("exit 3", { check: true })).rejects.toMatchObject({ code: "RUN_FAILED" });
  });

  test("as an array are executed as they are; as a string they go to the shell", async () => {
    expect((await vm.run(["echo", "$HOME", "a  b"])).stdout).toBe("$HOME a  b\n");
    expect((await vm.run("echo $HOME")).stdout).toBe("/root\n");
    await expect(vm.run(["no-such-program"])).rejects.toMatchObject({ code: "COMMAND_NOT_FOUND" });
    await expect(vm.run(["/etc/passwd"])).rejects.toMatchObject({ code: "COMMAND_NOT_EXECUTABLE" });
    expect((await vm.run("no-such-program")).exitCode).toBe(127);
  });

  test("get environment, directory, user and input", async () => {
    const result = await vm.run("id -un; pwd; echo $A; cat", {
      user: "nobody",
      cwd: "/usr",
      env: { A: "b c" },
      stdin: "from the host\n",
    });
    expect(result.stdout).toBe("nobody\n/usr\nb c\nfrom the host\n");
    await expect(vm.run("true", { user: "nobody-here" })).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await expect(vm.run("true", { cwd: "/nowhere" })).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
  });

  test("get what vm.env says at their start, from any process's change on", async () => {
    const other = await SmolVM.get(vm.name);
    const ofImage = await vm.env.list();
    await vm.env.set("COLOUR", "red");
    await vm.env.set({ SHAPE: "round", SIZE: "9" });
    const early = vm.spawn("read _; echo $COLOUR");
    await early.started;
    await other.env.set({ COLOUR: "blue", SIZE: undefined });
    early.stdin.end("\n");
    let said = "";
    for await (const { data } of early) said += Buffer.from(data).toString();
    expect(said).toBe("red\n");
    expect((await vm.run("echo $COLOUR $SHAPE $(printenv SIZE || echo unset)")).stdout).toBe(
      "blue round unset\n",
    );
    expect(
      (await vm.run("echo $(printenv COLOUR || echo unset)", { env: { COLOUR: undefined } })).stdout,
    ).toBe("unset\n");
    expect(await vm.env.get("SHAPE")).toBe("round");
    expect(await vm.env.get("toString")).toBeUndefined();
    await vm.env.delete("SHAPE", "NOT_THERE");
    expect(await vm.env.list()).toEqual({ ...ofImage, COLOUR: "blue" });
    await expect(vm.env.set("A=B", "x")).rejects.toMatchObject({ code: "CONFIG_INVALID" });
    await vm.env.delete("COLOUR");
  });

  test("print bytes, which arrive unchanged", async () => {
    const { stdoutBytes } = await vm.run(["printf", "\\377\\000\\303x"]);
    expect([...stdoutBytes]).toEqual([0xff, 0x00, 0xc3, 0x78]);
  });

  test("that leave something in the background do not hold up their result", async () => {
    const started = performance.now();
    const { stdout } = await vm.run("(sleep 1000; echo late) & echo $!");
    expect(performance.now() - started).toBeLessThan(20_000);
    expect((await vm.run(`kill -0 ${stdout.trim()} && echo lives`)).stdout).toBe("lives\n");
    await vm.run(`kill ${stdout.trim()}`);
  });

  test("that take too long are killed with all they started, even what left their process group", async () => {
    const error = await vm
      .run("echo begun; setsid sleep 4242 & setsid -f sleep 4243; sleep 4244", { timeoutMs: 2_000 })
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "RUN_TIMEOUT", details: { stdout: "begun\n" } });
    expect((error as Error).message).toMatch(/2000 ms/);
    await until("they are gone", async () => !(await vm.run("ps ax")).stdout.includes("sleep 424"));
  });

  test("can be aborted", async () => {
    const controller = new AbortController();
    const running = vm.run("echo begun; sleep 5555", {
      signal: controller.signal,
      onStdout: () => controller.abort(),
    });
    await expect(running).rejects.toMatchObject({ code: "RUN_ABORTED" });
    await until("it is gone", async () => !(await vm.run("ps ax")).stdout.includes("sleep 5555"));
  });

  test("that print without end are stopped at the limit, with what they printed so far", async () => {
    const error = await vm.run("yes", { maxOutputBytes: 100_000 }).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "OUTPUT_LIMIT" });
    expect((error as { result: { stdout: string } }).result.stdout.length).toBe(100_000);
    await until("it is gone", async () => !(await vm.run("ps ax")).stdout.includes("yes"));
  });

  test("run fifty at once", async () => {
    const results = await Promise.all(Array.from({ length: 50 }, (_, i) => vm.run(`sleep 0.1; echo ${i}`)));
    expect(results.map((result) => result.stdout)).toEqual(Array.from({ length: 50 }, (_, i) => `${i}\n`));
  });

  test("whose output nobody reads hold up only themselves", async () => {
    const unread = vm.spawn(["yes"]);
    await unread.started;
    expect((await vm.run("echo through")).stdout).toBe("through\n");
    await unread.kill("SIGKILL");
    expect((await unread.wait()).signal).toBe("SIGKILL");
  });

  test("can be spoken to while they run", async () => {
    const cat = vm.spawn(["cat"]);
    const seen: string[] = [];
    cat.stdin.write("one\n");
    for await (const { stream, data } of cat) {
      seen.push(`${stream}: ${Buffer.from(data)}`);
      if (seen.length === 1) cat.stdin.write("two\n");
      else cat.stdin.end();
    }
    expect(seen).toEqual(["stdout: one\n", "stdout: two\n"]);
    expect((await cat.wait()).exitCode).toBe(0);
  });

  test("get signals as a whole group", async () => {
    const group = vm.spawn("trap 'echo caught; exit 5' TERM; sleep 1000 & echo ready; wait");
    let output = "";
    for await (const { data } of group) {
      output += Buffer.from(data);
      if (output === "ready\n") await group.kill("SIGTERM");
    }
    expect(output).toBe("ready\ncaught\n");
    expect((await group.wait()).exitCode).toBe(5);
  });

  test("on a terminal see its size, its changes and its Ctrl-C", async () => {
    const shell = vm.spawn("stty size; trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done", {
      pty: { cols: 100, rows: 30 },
    });
    let output = "";
    let resized = false;
    for await (const { data } of shell) {
      output += Buffer.from(data);
      if (output.includes("ready") && !resized) {
        resized = true;
        await shell.resize({ cols: 120, rows: 40 });
      }
      if (output.includes("40 120")) shell.stdin.write("\x03");
    }
    expect(output).toContain("30 100\r\nready\r\n");
    const { signal, exitCode } = await shell.wait();
    expect(signal ?? exitCode).toBeTruthy();
  });

  test("that are detached outlive their channel and can be found again", async () => {
    const job = vm.spawn("echo first; read line; echo got $line", { detached: true, stdin: "pipe" });
    const { id } = await job.started;
    const found = (await vm.processes.list()).find((entry) => entry.id === id);
    expect(found).toMatchObject({ detached: true, running: true });
    const again = vm.processes.attach(id);
    again.stdin.end("it\n");
    let output = "";
    for await (const { data } of again) output += Buffer.from(data);
    expect(output).toBe("first\ngot it\n");
    expect((await again.wait()).exitCode).toBe(0);
  });

  test("are listed, signalled and attached to by number, by whoever knows it", async () => {
    const line = "trap 'echo got it; exit 3' TERM; echo ready; while :; do sleep 0.1; done";
    const { id, pid } = await vm.spawn(line, { detached: true }).started;
    const listed = async () => (await vm.processes.list()).find((entry) => entry.id === id);
    expect(await listed()).toMatchObject({ pid, running: true, detached: true, pty: false, user: "root" });
    const attached = vm.processes.attach(id);
    for await (const { data } of attached) if (Buffer.from(data).includes("ready")) break;
    await expect(vm.processes.attach(id).wait()).rejects.toMatchObject({ code: "VM_BUSY" });
    await vm.processes.kill(id);
    expect(await attached.wait()).toMatchObject({ exitCode: 3, signal: undefined });
    expect(await listed()).toMatchObject({ running: false, exitCode: 3 });
    await expect(vm.processes.kill(id)).rejects.toMatchObject({ code: "PROCESS_NOT_FOUND" });
    let again = "";
    for await (const { data } of vm.processes.attach(id)) again += Buffer.from(data).toString();
    // The signal may have hit a sleep of the shell's group as well, which the shell then says.
    expect(again.replace("Terminated\n", "")).toBe("ready\ngot it\n");

    const tree = await vm.spawn("setsid sleep 4712 & sleep 4713", { detached: true }).started;
    const sleeping = async (): Promise<string> => {
      const lines = "for p in /proc/[0-9]*; do tr '\\0' ' ' 2>/dev/null < $p/cmdline; echo; done";
      return (await vm.run(`${lines} | grep -c '^sleep 471[23]'`)).stdout;
    };
    await until("both sleep", async () => (await sleeping()) === "2\n");
    await vm.processes.kill(tree.id, "SIGKILL", { tree: true });
    expect(await vm.processes.attach(tree.id).wait()).toMatchObject({ signal: "SIGKILL" });
    await until("both are gone", async () => (await sleeping()) === "0\n");

    await expect(vm.processes.attach(999_999).wait()).rejects.toMatchObject({ code: "PROCESS_NOT_FOUND" });
    await expect(vm.processes.kill(999_999)).rejects.toMatchObject({ code: "PROCESS_NOT_FOUND" });
    await expect(vm.processes.kill(id, "SIGNOPE" as "SIGTERM")).rejects.toMatchObject({
      code: "CONFIG_INVALID",
    });
  });

  test("of a guest that hangs keep nobody waiting beyond the limits", async () => {
    const { id } = await vm.spawn("sleep 4714", { detached: true }).started;
    const { pid } = await vm.info();
    process.kill(pid!, "SIGSTOP");
    try {
      await expect(vm.processes.list({ timeoutMs: 300 })).rejects.toMatchObject({ code: "TIMEOUT" });
      await expect(vm.processes.kill(id, "SIGKILL", { timeoutMs: 300 })).rejects.toMatchObject({
        code: "TIMEOUT",
      });
      await expect(
        vm.processes.attach(id, { signal: AbortSignal.timeout(300) }).wait(),
      ).rejects.toMatchObject({
        code: "RUN_ABORTED",
      });
    } finally {
      process.kill(pid!, "SIGCONT");
    }
    await vm.processes.kill(id, "SIGKILL").catch(() => {}); // the first one may have arrived
  });

  test("with more arguments than the guest takes are refused clearly", async () => {
    await expect(vm.run(["echo", "x".repeat(1 << 20)])).rejects.toMatchObject({ code: "ARGUMENTS_TOO_LONG" });
    const many = await vm.run([
      "/bin/sh",
      "-c",
      'echo "$#"',
      "sh",
      ...Array.from({ length: 5000 }, () => "argument"),
    ]);
    expect(many.stdout).toBe("5000\n");
  });
});
