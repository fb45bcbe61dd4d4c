import { describe, expect, test } from "vitest";
import { buildEnvironment, countSteps } from "../../../../src/images/kernel-build/make.ts";
import { buildNeeds, missingPrograms } from "../../../../src/images/kernel-build/programs.ts";
import { kernelRecipeDir, parsePin, readRecipe } from "../../../../src/images/kernel-build/recipe.ts";

describe.each(["x86_64", "aarch64"] as const)("the recipe for %s", (arch) => {
  test("has no mistakes and asks for each option once", async () => {
    const { requests } = await readRecipe(arch);
    const options = requests.map(({ option }) => option);
    expect(new Set(options).size).toBe(options.length);
  });

  test("builds everything in: modules are off", async () => {
    const { requests } = await readRecipe(arch);
    expect(requests).toContainEqual(expect.objectContaining({ option: "CONFIG_MODULES", value: "n" }));
  });

  test.each([
    [
      "boots from our disks",
      ["SQUASHFS", "SQUASHFS_ZSTD", "EROFS_FS", "EXT4_FS", "OVERLAY_FS", "VIRTIO_BLK", "VIRTIO_MMIO"],
    ],
    [
      "reaches the agent",
      ["VIRTIO_CONSOLE", "VIRTIO_VSOCKETS", "HW_RANDOM_VIRTIO", "BLK_DEV_INITRD", "DEVTMPFS"],
    ],
    [
      "runs containers",
      [
        "USER_NS",
        "NET_NS",
        "PID_NS",
        "CGROUP_BPF",
        "CGROUP_PIDS",
        "MEMCG",
        "SECCOMP_FILTER",
        "VETH",
        "BRIDGE",
      ],
    ],
    [
      "redirects connections",
      ["TUN", "NFT_TPROXY", "NFT_REDIR", "NFT_SOCKET", "NFT_NAT", "NFT_COMPAT", "NF_CONNTRACK"],
    ],
    [
      "runs language runtimes",
      ["IO_URING", "USERFAULTFD", "FUSE_FS", "BINFMT_MISC", "POSIX_MQUEUE", "INOTIFY_USER", "UNIX98_PTYS"],
    ],
  ])("%s", async (_, needed) => {
    const asked = new Map((await readRecipe(arch)).requests.map(({ option, value }) => [option, value]));
    expect(needed.filter((option) => asked.get(`CONFIG_${option}`) !== "y")).toEqual([]);
  });
});

test("recipes of two architectures have two keys, and the same one is the same", async () => {
  const [a, b, again] = await Promise.all([
    readRecipe("x86_64"),
    readRecipe("aarch64"),
    readRecipe("x86_64"),
  ]);
  expect(a.key).not.toBe(b.key);
  expect(a.key).toBe(again.key);
});

test("a recipe directory without its files is told by the file's name", async () => {
  await expect(readRecipe("x86_64", `${kernelRecipeDir()}/nowhere`)).rejects.toMatchObject({
    code: "IMAGE_BUILD_FAILED",
    message: "the kernel recipe has no 'source.json'",
  });
});

test.each([
  ["not JSON", "{"],
  ["no object", "null"],
  ["a package that is no kernel source", '{"package":"bash","version":"1","sha256":"x"}'],
  ["a hash that is none", '{"package":"linux-source-6.1","version":"6.1.1-1","sha256":"abc"}'],
])("a damaged source.json is refused: %s", (_, text) => {
  expect(() => parsePin(text)).toThrow("source.json is damaged");
});

test("a build's environment holds nothing of the user's that could change the kernel", () => {
  const env = buildEnvironment(1_794_824_220, {
    PATH: "/opt/bin",
    HOME: "/home/u",
    CFLAGS: "-O0",
    MAKEFLAGS: "-k",
    TZ: "Asia/Tokyo",
  });
  expect(env).toEqual({
    PATH: "/opt/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    HOME: "/home/u",
    TMPDIR: undefined,
    LC_ALL: "C",
    TZ: "UTC",
    KBUILD_BUILD_TIMESTAMP: "Mon, 16 Nov 2026 10:17:00 GMT",
    KBUILD_BUILD_USER: "smolvm",
    KBUILD_BUILD_HOST: "smolvm",
    KBUILD_BUILD_VERSION: "1",
  });
});

test("progress counts the lines that make prints", () => {
  expect(countSteps(Buffer.from("  CC      init/main.o\n  AR      init/built-in.a\n  CC  "))).toBe(2);
});

test("a native build needs no cross compiler, and only x86_64 needs libelf", () => {
  const packages = (...args: Parameters<typeof buildNeeds>): string[] =>
    [...new Set(buildNeeds(...args).map((need) => need.package))].sort();
  expect(packages("x86_64", "x86_64")).toEqual([
    "bc",
    "bison",
    "build-essential",
    "flex",
    "libelf-dev",
    "patch",
    "tar",
    "xz-utils",
  ]);
  expect(packages("aarch64", "x86_64")).toEqual([
    "bc",
    "bison",
    "build-essential",
    "flex",
    "gcc-aarch64-linux-gnu",
    "patch",
    "tar",
    "xz-utils",
  ]);
  expect(packages("x86_64", "aarch64")).toContain("gcc-x86-64-linux-gnu");
});

test("everything that is missing is named at once, with one command that installs it", () => {
  const missing = buildNeeds("x86_64", "x86_64").filter(({ what }) => ["flex", "make", "gcc"].includes(what));
  expect(missingPrograms(missing, "linux")).toMatchObject({
    code: "DEPENDENCY_MISSING",
    message: "building a kernel needs make, gcc, flex, not found here",
    hint: "On Debian or Ubuntu: sudo apt-get install -y build-essential flex",
  });
});
