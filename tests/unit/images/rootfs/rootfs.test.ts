import { describe, expect, test } from "vitest";
import { writeTar } from "../../../../src/images/formats/tar.ts";
import { mmdebstrapArgs, parsePackages } from "../../../../src/images/rootfs/debian.ts";
import { MINIMAL_COMMANDS, minimalEntries } from "../../../../src/images/rootfs/minimal.ts";

describe("the debian image", () => {
  const args = mmdebstrapArgs("/t/rootfs.tar", {
    arch: "x86_64",
    mirror: "http://m/debian",
    mode: "unshare",
  });

  test("holds what the documents promise", () => {
    expect(args).toContain("--include=bash,coreutils,python3,curl,ca-certificates,git,procps,iproute2");
    expect(args).toContain("--architectures=amd64");
    expect(args).toContain("--mode=unshare");
  });

  test("takes nothing of the host along, and keeps licences", () => {
    expect(args.join("\n")).toContain('"$1/etc/hostname" "$1/etc/resolv.conf"');
    expect(args.indexOf("--dpkgopt=path-include=/usr/share/doc/*/copyright")).toBeGreaterThan(
      args.indexOf("--dpkgopt=path-exclude=/usr/share/doc/*"),
    );
  });

  test("names its packages and versions", () => {
    const status =
      "Package: zlib\nStatus: install ok installed\nVersion: 1.2\n\nPackage: apt\nVersion: 2.6:1+b2\n\n" +
      "Package: libc6\nSource: glibc\nVersion: 2.36-9\n\nPackage: gcc\nSource: gcc-defaults (1.203)\nVersion: 4:12.2.0-3\n";
    expect(parsePackages(status)).toEqual([
      { name: "apt", version: "2.6:1+b2", source: { name: "apt", version: "2.6:1" } },
      { name: "gcc", version: "4:12.2.0-3", source: { name: "gcc-defaults", version: "1.203" } },
      { name: "libc6", version: "2.36-9", source: { name: "glibc", version: "2.36-9" } },
      { name: "zlib", version: "1.2", source: { name: "zlib", version: "1.2" } },
    ]);
  });
});

describe("the minimal image", () => {
  const entries = minimalEntries({ busybox: Buffer.from("ELF"), copyright: Buffer.from("GPL") });
  const find = (path: string) => entries.find((entry) => entry.path === path);

  test("has a shell, users and the directories that a boot mounts on", () => {
    expect(find("usr/bin/sh")).toMatchObject({ kind: "symlink", target: "busybox" });
    expect(find("usr/bin/busybox")).toMatchObject({ kind: "file", mode: 0o755 });
    expect(find("etc/passwd")?.data?.toString()).toMatch(/^root:x:0:0:/);
    for (const path of ["dev", "proc", "sys", "run", "tmp", "root"]) {
      expect(find(path)).toMatchObject({ kind: "directory" });
    }
    expect(find("tmp")?.mode).toBe(0o1777);
    expect(find("root")?.mode).toBe(0o700);
  });

  test("lists every directory before what is in it, and nothing twice", () => {
    const seen = new Set(["."]);
    for (const { path, kind } of entries.slice(1)) {
      expect(seen.has(path), path).toBe(false);
      const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : ".";
      expect(seen.has(parent), path).toBe(true);
      if (kind === "directory") seen.add(path);
    }
    expect(new Set(MINIMAL_COMMANDS).size).toBe(MINIMAL_COMMANDS.length);
  });
});

describe("a tar archive", () => {
  test("has the fields of POSIX at their places, with a right checksum", () => {
    const tar = Buffer.from(
      writeTar(
        [
          { path: "d", mode: 0o755, kind: "directory" },
          { path: "d/f", mode: 0o640, kind: "file", data: Buffer.from("hello") },
          { path: "l", mode: 0o777, kind: "symlink", target: "d/f" },
        ],
        1_000_000_000,
      ),
    );
    expect(tar.length).toBe((3 + 1 + 2) * 512);
    const text = (at: number, length: number): string =>
      tar.toString("latin1", at, at + length).replace(/\0.*$/s, "");
    expect([0, 512, 2048 - 512].map((at) => [text(at, 100), text(at + 100, 8), text(at + 156, 1)])).toEqual([
      ["d/", "0000755", "5"],
      ["d/f", "0000640", "0"],
      ["l", "0000777", "2"],
    ]);
    expect(text(512 + 124, 12)).toBe("00000000005");
    expect(Number.parseInt(text(512 + 136, 12), 8)).toBe(1_000_000_000);
    expect(text(1024, 5)).toBe("hello");
    expect(text(1536 + 157, 100)).toBe("d/f");
    expect(text(512 + 257, 6)).toBe("ustar");
    const header = Buffer.from(tar.subarray(512, 1024));
    const sum = Number.parseInt(text(512 + 148, 8), 8);
    header.fill(" ", 148, 156);
    expect(header.reduce((total, byte) => total + byte, 0)).toBe(sum);
  });

  test("refuses a name that does not fit", () => {
    expect(() => writeTar([{ path: "x".repeat(101), mode: 0, kind: "file" }], 0)).toThrow("too long");
  });
});
