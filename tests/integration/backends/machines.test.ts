import { describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";
import { scaled } from "../../helpers/speed.ts";

useTempHome();

describe("QEMU's other machines", () => {
  test("q35 boots the same image", async () => {
    await using vm = await SmolVM.create({
      ...small("qemu", { arch: "x86_64", kernel: "debian", qemuMachine: "q35" }),
      timeoutMs: scaled(60_000),
    });
    expect(await vm.info()).toMatchObject({ machine: "q35" });
    expect((await vm.run("ls /sys/bus/pci/devices | wc -l; echo hi")).stdout).toMatch(/^[1-9]\d*\nhi\n$/);
  });

  test("an aarch64 guest runs commands, files and a terminal", async () => {
    await using vm = await SmolVM.create({
      ...small("qemu", { arch: "aarch64", image: "minimal", network: "open" }),
      timeoutMs: scaled(60_000),
    });
    expect(await vm.info()).toMatchObject({ arch: "aarch64", machine: "virt", accelerator: "tcg" });
    expect((await vm.run("uname -m")).stdout).toBe("aarch64\n");
    await vm.files.write("/root/file", "over there");
    expect(await vm.files.readText("/root/file")).toBe("over there");
    let output = "";
    for await (const { data } of vm.spawn("stty size", { pty: { cols: 90, rows: 20 } }))
      output += Buffer.from(data);
    expect(output).toBe("20 90\r\n");
    await vm.stop();
    expect((await vm.info()).state).toBe("stopped");
  });
});
