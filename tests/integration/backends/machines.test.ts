import { describe, expect, test } from "vitest";
import { SmolVM } from "../../../src/index.ts";
import { small } from "../../helpers/backends.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

describe("an aarch64 guest", () => {
  test("boots on the machine virt and runs commands, on whatever host", { timeout: 300_000 }, async () => {
    await using vm = await SmolVM.create({
      ...small("qemu"),
      arch: "aarch64",
      image: "minimal",
      network: "open",
      timeoutMs: 120_000,
    });
    expect((await vm.run("uname -m")).stdout).toBe("aarch64\n");
    expect(await vm.info()).toMatchObject({ arch: "aarch64", machine: "virt" });
    await vm.files.write("/tmp/file", "over the channel");
    expect((await vm.run("cat /tmp/file")).stdout).toBe("over the channel");
  });
});

describe("the machine q35", () => {
  test("runs the same image", { timeout: 300_000 }, async () => {
    await using vm = await SmolVM.create({ ...small("qemu"), qemuMachine: "q35", timeoutMs: 120_000 });
    expect((await vm.run("cat /sys/bus/pci/devices/*/vendor | sort -u")).stdout).toContain("0x1af4");
    expect(await vm.info()).toMatchObject({ machine: "q35" });
  });
});
