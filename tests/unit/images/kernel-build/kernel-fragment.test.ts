import { expect, test } from "vitest";
import { isSmolVMError } from "../../../../src/errors.ts";
import { lostError } from "../../../../src/images/kernel-build/configure.ts";
import { lostOptions, parseConfig, parseFragment } from "../../../../src/images/kernel-build/fragment.ts";

const config = parseConfig(`
CONFIG_EXT4_FS=y
# CONFIG_XFS_FS is not set
CONFIG_NR_CPUS=64
CONFIG_LSM="landlock,yama"
CONFIG_DEBUG_KERNEL=y
`);

test("a fragment's options are read with the lines they stand in", () => {
  const { requests, mistakes } = parseFragment(
    "common.config",
    '# why\nCONFIG_NET=y\n\nCONFIG_LSM="a b"\nCONFIG_PCI=n\n',
  );
  expect(mistakes).toEqual([]);
  expect(requests).toEqual([
    { option: "CONFIG_NET", value: "y", where: "common.config:2" },
    { option: "CONFIG_LSM", value: '"a b"', where: "common.config:4" },
    { option: "CONFIG_PCI", value: "n", where: "common.config:5" },
  ]);
});

test("a module, a line that no kernel reads and an option that is asked for twice are mistakes", () => {
  const text = "CONFIG_NET=m\nNET=y\nCONFIG_NET=y # really\nCONFIG_A=y\nCONFIG_A=n\n# CONFIG_B is not set\n";
  const { mistakes } = parseFragment("x.config", text);
  expect(mistakes.map(({ where }) => where)).toEqual([
    "x.config:1",
    "x.config:2",
    "x.config:3",
    "x.config:5",
  ]);
  expect(mistakes[3]?.reason).toBe("asks again for what x.config:4 asks for");
});

test("what the kernel's rules kept is not lost, whether it is set, a number, a text or absent", () => {
  const { requests } = parseFragment(
    "x",
    'CONFIG_EXT4_FS=y\nCONFIG_NR_CPUS=64\nCONFIG_LSM="landlock,yama"\nCONFIG_XFS_FS=n\nCONFIG_NEVER_HEARD_OF=n\n',
  );
  expect(lostOptions(requests, config)).toEqual([]);
});

test("an option that is missing, selected by another or has another value is lost", () => {
  const { requests } = parseFragment("x", "CONFIG_XFS_FS=y\nCONFIG_DEBUG_KERNEL=n\nCONFIG_NR_CPUS=8\n");
  expect(lostOptions(requests, config)).toEqual([
    { option: "CONFIG_XFS_FS", value: "y", where: "x:1", got: "n" },
    { option: "CONFIG_DEBUG_KERNEL", value: "n", where: "x:2", got: "y" },
    { option: "CONFIG_NR_CPUS", value: "8", where: "x:3", got: "64" },
  ]);
});

test("the error for lost options names each one, its line and what it became", () => {
  const { requests } = parseFragment("x.config", "CONFIG_XFS_FS=y\nCONFIG_DEBUG_KERNEL=n\n");
  const error = lostError(lostOptions(requests, config), "6.1.192-2");
  expect(isSmolVMError(error, "IMAGE_BUILD_FAILED")).toBe(true);
  expect(error.message).toBe(
    "the kernel 6.1.192-2 does not take 2 options of its configuration:\n" +
      "  x.config:1: CONFIG_XFS_FS=y became n\n" +
      "  x.config:2: CONFIG_DEBUG_KERNEL=n became y",
  );
  expect(error.details.lost).toHaveLength(2);
});
