import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/smolvm.ts";
import { cli, cliJson, createBox } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

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
