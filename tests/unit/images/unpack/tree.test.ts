import { describe, expect, test } from "vitest";
import { Tree, type TreeLimits } from "../../../../src/images/unpack/tree.ts";
import { TarReader } from "../../../../src/util/tar/reader.ts";
import { type LayerEntry, layerTar } from "../../../helpers/layers.ts";

function tree(layers: readonly (readonly LayerEntry[])[], limits?: TreeLimits): Tree {
  const made = new Tree("x", { limits });
  for (const layer of layers) {
    made.nextLayer();
    for (const step of new TarReader().push(layerTar(layer)))
      if (step.step === "entry") made.apply(step.entry);
  }
  return made;
}

describe("layers that would harm", () => {
  test.each<[string, readonly LayerEntry[], string]>([
    ["a name that climbs", [{ path: "a/../../etc/passwd" }], "a path that leaves it, 'a/../../etc/passwd'"],
    ["an absolute name", [{ path: "/etc/passwd" }], "an absolute path, '/etc/passwd'"],
    [
      "a hard link out of it",
      [{ path: "a", type: "1", target: "../../etc/shadow" }],
      "a path that leaves it",
    ],
    [
      "a hard link to an absolute name",
      [{ path: "a", type: "1", target: "/etc/shadow" }],
      "an absolute path",
    ],
    [
      "a hard link to nothing",
      [{ path: "a", type: "1", target: "b" }],
      "'a' is a hard link to 'b', which is no file of it",
    ],
    [
      "a hard link to a directory",
      [{ path: "d/" }, { path: "a", type: "1", target: "d" }],
      "which is no file of it",
    ],
    [
      "a whiteout of what is above",
      [{ path: "a/.wh..." }, { path: "a/.wh..", content: "" }],
      "it removes '..', which is no name",
    ],
    [
      "a loop of symlinks",
      [{ path: "a", type: "2", target: "b" }, { path: "b", type: "2", target: "a" }, { path: "a/x" }],
      "goes through too many symlinks",
    ],
    ["a file as a directory", [{ path: "f", content: "f" }, { path: "f/x" }], "'f' is no directory"],
    ["a root that is a file", [{ path: ".", content: "x" }], "its root is no directory"],
    ["an owner that cannot be", [{ path: "a", uid: 2 ** 32 }], "has an owner that cannot be"],
    ["a symlink to nothing", [{ path: "a", type: "2", target: "" }], "a symlink to nothing that can be"],
    ["a device that cannot be", [{ path: "a", type: "3", major: 5000, minor: 0 }], "a device that cannot be"],
    ["a name of 256 bytes", [{ path: "n".repeat(256) }], "a name of 256 bytes"],
    ["a path of 5000 bytes", [{ path: `${"d/".repeat(2500)}` }], "a path of 5000 bytes"],
    [
      "attributes without end",
      [
        {
          path: "a",
          pax: Object.fromEntries([1, 2].map((n) => [`SCHILY.xattr.user.${n}`, "x".repeat(40_000)])),
        },
      ],
      "extended attributes that are too large",
    ],
  ])("%s is refused", (_, entries, message) => {
    expect(() => tree([entries])).toThrow(
      expect.objectContaining({ code: "IMAGE_INVALID", message: expect.stringContaining(message) }),
    );
  });

  const limits = { entries: 10, textBytes: 1000, contentBytes: 5000 };
  test.each<[string, readonly LayerEntry[], string]>([
    ["entries", Array.from({ length: 11 }, (_, index) => ({ path: `f${index}` })), "more than 10 entries"],
    [
      "names",
      [{ path: `${"n".repeat(250)}/${"n".repeat(250)}/${"n".repeat(250)}/x` }],
      "names and attributes are larger",
    ],
    [
      "content",
      [
        { path: "a", content: "x".repeat(3000) },
        { path: "a", content: "x".repeat(3000) },
      ],
      "larger than",
    ],
  ])("%s without end are bounded", (_, entries, message) => {
    expect(() => tree([entries], limits)).toThrow(
      expect.objectContaining({ message: expect.stringContaining(message) }),
    );
  });

  test("a symlink leads nowhere but into the tree", () => {
    const { root } = tree([
      [
        { path: "out", type: "2", target: "../../../../../etc" },
        { path: "out/passwd", content: "mine" },
      ],
    ]);
    expect(root.children!.get("etc")!.children!.has("passwd")).toBe(true);
  });

  test("symlinks to symlinks to symlinks do not take for ever", () => {
    // Each goes through the one before it many times: without a bound the last would be 200 to the power of 10 steps.
    const links: LayerEntry[] = [{ path: "d/" }];
    for (let level = 0; level < 10; level++)
      links.push({
        path: `l${level}`,
        type: "2",
        target: `${level === 0 ? "d" : `l${level - 1}`}/../`.repeat(200),
      });
    expect(() => tree([[...links, { path: "l9/x" }]])).toThrow(
      expect.objectContaining({ code: "IMAGE_INVALID" }),
    );
  });

  test("what overlayfs notes for itself does not get in", () => {
    const { root } = tree([
      [
        {
          path: "a",
          pax: {
            "SCHILY.xattr.trusted.overlay.opaque": "y",
            "SCHILY.xattr.user.kept": "k",
            "SCHILY.xattr.odd.name": "o",
          },
        },
      ],
    ]);
    expect([...root.children!.get("a")!.inode.xattrs!.keys()]).toEqual(["user.kept"]);
  });
});

test("directories that an image wants are made, and none that leads out", () => {
  const made = tree([[{ path: "var/" }, { path: "file", content: "" }]]);
  made.addDirectories(["/var/lib/data", "data/", "/../out", "/file/below", "/"]);
  expect([...made.root.children!.keys()].sort()).toEqual(["data", "file", "var"]);
  expect(made.root.children!.get("var")!.children!.get("lib")!.children!.has("data")).toBe(true);
});
