import { expect, test } from "vitest";
import { labArgs } from "../../lab/machine.ts";

const MACHINE = {
  kernelPath: "/k",
  initrdPath: "/i",
  cpus: 1,
  memMib: 4096,
  tscKhz: 2_400_000,
  jobDir: "/job",
  script: "/enter.sh",
  shares: [{ tag: "share0", directory: "/results,1" }],
  bootArgs: "",
};

test("a lab sees this machine's root read-only, and writes only to what is shared", () => {
  const shares = labArgs(MACHINE).filter((_, index, args) => args[index - 1] === "-virtfs");
  expect(shares).toEqual([
    "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
    "local,path=/results,,1,mount_tag=share0,security_model=none,readonly=off,multidevs=remap",
  ]);
});

test("a lab's processor is emulated whole, virtualization included, and told the host's clock", () => {
  const args = labArgs(MACHINE);
  expect(args.join(" ")).toMatch(/-accel tcg\S* -cpu max\b/);
  expect(args.at(args.indexOf("-append") + 1)).toContain("tsc_early_khz=2400000");
  expect(labArgs({ ...MACHINE, tscKhz: undefined }).join(" ")).not.toContain("tsc_early_khz");
});

test("a lab's clock ticks by itself, and what is asked of its kernel comes last", () => {
  const args = labArgs({ ...MACHINE, bootArgs: "nohz=on" });
  expect(args.at(args.indexOf("-append") + 1)).toMatch(/ nohz=off highres=off .*nohz=on$/);
});
