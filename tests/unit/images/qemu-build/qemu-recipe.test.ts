import { describe, expect, test } from "vitest";
import { aptSources } from "../../../../src/images/debian/apt.ts";
import { checkDevices, listed } from "../../../../src/images/qemu-build/devices.ts";
import { missingForQemu } from "../../../../src/images/qemu-build/programs.ts";
import { parseInputs, readQemuRecipe } from "../../../../src/images/qemu-build/recipe.ts";
import { sourceOffer } from "../../../../src/images/qemu-build/source-offer.ts";

const DEVICES = `Storage devices:
name "virtio-blk-device", bus virtio-bus

CPU devices:
name "max-x86_64-cpu"
`;
const MACHINES =
  "Supported machines are:\nmicrovm              microvm (i386)\nnone                 empty machine\n";

describe("the recipe of QEMU", () => {
  test("pins all that it is made of, and leaves everything out that is not asked for", async () => {
    const { inputs, options, expected, patches } = await readQemuRecipe("x86_64");
    expect(inputs.map((input) => input.package)).toEqual([
      "qemu",
      "libslirp",
      "qemu-system-data",
      "meson",
      "python3-distlib",
    ]);
    expect(options).toEqual(
      expect.arrayContaining([
        "--without-default-features",
        "--without-default-devices",
        "--static",
        "--enable-pie",
      ]),
    );
    expect(expected.filter((line) => line.startsWith("device "))).toHaveLength(7);
    expect(patches).not.toEqual([]);
  });

  test("is there for x86_64 guests", async () => {
    await expect(readQemuRecipe("aarch64")).rejects.toMatchObject({ code: "NOT_SUPPORTED" });
  });

  test.each([
    "",
    "{}",
    '{"suite":"trixie","sources":[{"package":"qemu","version":"1","sha256":"0"}],"packages":[]}',
    '{"suite":"../x","sources":[],"packages":[]}',
  ])("that is damaged is refused: %s", (text) => {
    expect(() => parseInputs(text)).toThrow(/damaged/);
  });

  test("takes source packages of its release as well", () => {
    const lines = aptSources("http://mirror/debian/", { suite: "trixie", withSources: true });
    expect(lines).toHaveLength(6);
    expect(lines[3]).toMatch(/^deb-src \[signed-by=.*\] http:\/\/mirror\/debian trixie main$/);
  });

  test("names what the host lacks, once, with the line that installs it", () => {
    const { hint, message } = missingForQemu(
      [
        { what: "gcc", package: "build-essential" },
        { what: "make", package: "build-essential" },
        { what: "libfdt.a", package: "libfdt-dev" },
      ],
      "linux",
    );
    expect(message).toContain("gcc, make, libfdt.a");
    expect(hint).toBe("On Debian or Ubuntu: sudo apt-get install -y build-essential libfdt-dev");
  });
});

describe("the devices of a QEMU", () => {
  test("are read from what it lists, without CPU models", () => {
    expect(listed(DEVICES, MACHINES)).toEqual([
      "device virtio-blk-device",
      "machine microvm",
      "machine none",
    ]);
  });

  test("that it should not have fail the build, as do those that are missing", () => {
    const expected = ["device virtio-net-device", "machine microvm", "machine none"];
    expect(() => checkDevices(expected, DEVICES, MACHINES)).toThrow(
      /more: device virtio-blk-device\n {2}missing: device virtio-net-device/,
    );
    checkDevices(["device virtio-blk-device", "machine microvm", "machine none"], DEVICES, MACHINES);
  });
});

test("what a QEMU is made of is told beside it", () => {
  const text = sourceOffer({
    version: 1,
    arch: "x86_64",
    qemuVersion: "10.0.13",
    recipe: "0",
    license: "GPL-2.0-only",
    suite: "trixie",
    inputs: [{ kind: "source", package: "qemu", version: "1:10", sha256: "abc", pinned: true }],
    compiler: "gcc 12",
    createdAt: "",
  });
  expect(text).toContain("| qemu | 1:10 | source | abc |");
  expect(text).toContain("three years");
});
