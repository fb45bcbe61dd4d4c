import { describe, expect, test } from "vitest";
import { aptConfig, aptSources, parseControl, releaseDate } from "../../../../src/images/debian/apt.ts";
import { kernelPackage } from "../../../../src/images/kernel/debian-kernel.ts";

describe("apt", () => {
  test("a directory that it has no way to name is refused", () => {
    expect(() => aptConfig('/home/my "own"', "x86_64")).toThrow(
      expect.objectContaining({ code: "CONFIG_INVALID" }),
    );
  });

  test("keeps all its state in the directory it is given and takes nothing from the host", () => {
    const config = aptConfig("/work dir", "aarch64");
    for (const line of [
      'Dir::State "/work dir/state";',
      'Dir::Cache "/work dir/cache";',
      'Dir::Etc::sourcelist "/work dir/sources.list";',
      'Dir::Etc::parts "/dev/null";',
      'APT::Architecture "arm64";',
    ]) {
      expect(config).toContain(line);
    }
  });

  test("refuses what is not signed", () => {
    const config = aptConfig("/d", "x86_64");
    expect(config).toContain('APT::Get::AllowUnauthenticated "false";');
    expect(config).toContain('Acquire::AllowInsecureRepositories "false";');
    expect(`${config}${aptSources("http://m").join("\n")}`).not.toMatch(/trusted=|"true"|allow-insecure/i);
  });

  test("has the release, its updates and its security updates, signed by Debian's keys", () => {
    expect(aptSources("http://mirror.example/debian/")).toEqual([
      "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main",
      "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm-updates main",
      "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian-security bookworm-security main",
    ]);
  });

  test("a control stanza is read up to its end, with continuation lines", () => {
    const fields = parseControl(
      "\nPackage: a\nDescription: one\n two\n .\nDepends: b (>= 1), c\n\nPackage: z\n",
    );
    expect([...fields]).toEqual([
      ["Package", "a"],
      ["Description", "one\ntwo\n."],
      ["Depends", "b (>= 1), c"],
    ]);
    expect(parseControl("").size).toBe(0);
  });

  test("the kernel package is the versioned one that the meta package depends on", () => {
    expect(kernelPackage("linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)")).toBe(
      "linux-image-6.1.0-56-cloud-amd64",
    );
    expect(kernelPackage("foo, linux-image-6.12.1-arm64 | bar")).toBe("linux-image-6.12.1-arm64");
    expect(() => kernelPackage("foo")).toThrow("names no kernel");
  });

  test("the archive's date is read from its release file", () => {
    expect(releaseDate("Origin: Debian\nDate: Sat, 05 Sep 2026 09:51:43 UTC\n")).toBe(1788601903);
    expect(releaseDate("Origin: Debian\n")).toBeUndefined();
    expect(releaseDate("Date: whenever\n")).toBeUndefined();
  });
});
