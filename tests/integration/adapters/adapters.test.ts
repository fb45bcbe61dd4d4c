import { TIMEOUT_EXIT_CODE } from "@computesdk/provider";
import { afterAll, describe, expect, test } from "vitest";
import { smolvm } from "../../../examples/adapters/computesdk.ts";
import { sandboxTools } from "../../../examples/adapters/tools.ts";
import { SmolVM } from "../../../src/index.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();
afterAll(async () => {
  for (const vm of await SmolVM.list()) await SmolVM.from(vm).delete({ force: true });
});

describe("the provider for ComputeSDK", () => {
  const provider = smolvm({ network: "off" });

  test("does all that a program of it may ask, on a real sandbox", async () => {
    const sandbox = await provider.sandbox.create({
      name: "adapter",
      envs: { COLOUR: "green" },
      metadata: { team: "web" },
    });
    expect(await sandbox.runCommand('echo "$COLOUR"; echo oops >&2; exit 3')).toEqual({
      stdout: "green\n",
      stderr: "oops\n",
      exitCode: 3,
      durationMs: expect.any(Number),
    });
    expect(await sandbox.runCommand("pwd; echo $SIZE", { cwd: "/usr", env: { SIZE: "7" } })).toMatchObject({
      stdout: "/usr\n7\n",
    });
    expect(await sandbox.runCommand("echo soon; sleep 60", { timeout: 1500 })).toMatchObject({
      stdout: "soon\n",
      exitCode: TIMEOUT_EXIT_CODE,
    });

    let streamed = "";
    await sandbox.runCommand("printf '\\303'; sleep 0.2; printf '\\251!'", {
      onStdout: (data) => (streamed += data),
    });
    expect(streamed).toBe("é!"); // its two bytes came one after the other

    const { filesystem } = sandbox;
    await filesystem.mkdir("/srv/a/b");
    await filesystem.writeFile("/srv/a/new/note.txt", "grüße\n");
    expect(await filesystem.readFile("/srv/a/new/note.txt")).toBe("grüße\n");
    expect(await filesystem.readdir("/srv/a")).toMatchObject([
      { name: "b", type: "directory" },
      { name: "new", type: "directory" },
    ]);
    expect(await filesystem.exists("/srv/a/b")).toBe(true);
    await filesystem.remove("/srv/a");
    expect(await filesystem.exists("/srv/a")).toBe(false);

    await filesystem.writeFile("/srv/www/index.html", "served");
    const background = await sandbox.runCommand("python3 -m http.server 8000", {
      cwd: "/srv/www",
      background: true,
    });
    expect(background.exitCode).toBe(0);
    const up =
      "for i in $(seq 100); do python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' && exit; sleep 0.1; done; exit 1";
    expect(await sandbox.runCommand(up)).toMatchObject({ exitCode: 0 });
    const url = await sandbox.getUrl({ port: 8000 });
    expect(await (await fetch(url)).text()).toBe("served");

    expect(await sandbox.getInfo()).toMatchObject({
      id: sandbox.sandboxId,
      provider: "smolvm",
      status: "running",
      timeout: expect.closeTo(86_400_000, -3),
      metadata: { team: "web" },
    });
    const again = await provider.sandbox.getById(sandbox.sandboxId);
    expect(await again?.runCommand("echo $COLOUR")).toMatchObject({ stdout: "green\n" });
    expect((await provider.sandbox.list()).map(({ sandboxId }) => sandboxId)).toEqual([sandbox.sandboxId]);
    await sandbox.destroy();
    expect(await provider.sandbox.getById(sandbox.sandboxId)).toBeNull();
    expect(await provider.sandbox.list()).toEqual([]);
  });

  test("refuses what it cannot do, and knows only its own sandboxes", async () => {
    await expect(provider.sandbox.create({ snapshotId: "s1" })).rejects.toThrow("snapshots");
    await using other = await SmolVM.define({ lifetime: "detached", network: "off" });
    expect(await provider.sandbox.list()).toEqual([]);
    await other.delete({ force: true });
  });
});

test("tools for a model run in one sandbox for each conversation, and tell it what it did wrong", async () => {
  const tools = Object.fromEntries(sandboxTools("conversation-1").map((tool) => [tool.name, tool]));
  const call = (name: string, args: Record<string, string>): Promise<string> => tools[name]!.execute(args);
  expect(tools.run_command!.parameters).toMatchObject({ required: ["command"], additionalProperties: false });

  expect(await call("write_file", { path: "/srv/app/sum.py", content: "print(1 + 2)\n" })).toBe("written");
  expect(await call("run_command", { command: "python3 /srv/app/sum.py; echo oops >&2; exit 4" })).toBe(
    "3\noops\n\n[exit code 4]",
  );
  expect(await call("read_file", { path: "/srv/app/sum.py" })).toBe("print(1 + 2)\n");
  // The same in another process, which has nothing but the conversation's name.
  const again = sandboxTools("conversation-1");
  expect(await again[1]!.execute({ path: "/srv/app/sum.py" })).toBe("print(1 + 2)\n");

  const much = await call("run_command", { command: "seq 100000" });
  expect(much.length).toBeLessThan(17_000);
  expect(much).toMatch(/^\[the beginning is left out\]\n[\s\S]*100000\n\n\[exit code 0\]$/);
  expect(await call("read_file", { path: "/absent" })).toMatch(/^error: .*\/absent/);
  expect(await call("run_command", {})).toBe("error: not given as a string: command");
  expect(await call("write_file", { path: "/etc", content: "" })).toMatch(/^error: /);
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 1000);
  expect(await tools.run_command!.execute({ command: "echo on; sleep 60" }, { signal: abort.signal })).toBe(
    "on\n\n[killed (abort)]",
  );

  const [{ name } = { name: "" }] = await SmolVM.list({ key: "conversation-1" });
  await (await SmolVM.get(name)).delete({ force: true });
  expect(await call("run_command", { command: "ls /srv" })).toBe("\n[exit code 0]"); // another one
  await Promise.all((await SmolVM.list()).map((vm) => SmolVM.from(vm).delete({ force: true })));
});
