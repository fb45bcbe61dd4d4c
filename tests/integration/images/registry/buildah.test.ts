import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pullNamed } from "../../../../src/images/boot/pull-image.ts";
import { pushImage } from "../../../../src/images/push.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { ARCH } from "../../../helpers/backends.ts";
import { type DockerRegistry, startDockerRegistry } from "../../../helpers/docker-registry.ts";
import { readErofs } from "../../../helpers/read-erofs.ts";
import { addSmallImage } from "../../../helpers/small-image.ts";

const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");
const isRoot = process.getuid?.() === 0;
if (!isRoot) console.log("no images by buildah: looking into what it makes takes root");

describe.runIf(isRoot)("what buildah makes", () => {
  let home: string;
  let registry: DockerRegistry;
  const cache = () => ({ cacheDir: join(home, "cache", "smolvm") });
  const deadline = Deadline.of("pulling");
  const pull = (text: string) => pullNamed(cache(), text, { arch: ARCH, deadline });
  const buildah = (...args: string[]): string =>
    execFileSync(
      "buildah",
      ["--storage-driver", "vfs", "--root", join(home, "storage"), "--runroot", join(home, "run"), ...args],
      { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] },
    ).trim();

  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "smolvm-buildah-"));
    await addSmallImage(cache().cacheDir, "minimal");
    registry = await startDockerRegistry(join(home, "registry"));
  });
  afterAll(async () => {
    buildah("rm", "--all");
    await registry.stop();
    rmSync(home, { recursive: true, force: true });
  });

  /** An image of two layers, of which the second takes away from the first and changes it. */
  function make(image: string): string {
    const files = mkdtempSync(join(home, "files-"));
    mkdirSync(join(files, "dir/below"), { recursive: true });
    for (const name of ["kept", "gone", "changed", "dir/below/gone"])
      writeFileSync(join(files, name), `${name}\n`);
    writeFileSync(join(files, "tool"), "#!/kept\n");
    chmodSync(join(files, "tool"), 0o4755);
    linkSync(join(files, "kept"), join(files, "dir/linked"));
    symlinkSync("../kept", join(files, "dir/symlink"));
    const first = buildah("from", "scratch");
    buildah("copy", first, files, "/");
    buildah(
      "config",
      "--env",
      "GREETING=hello there",
      "--cmd",
      '["/tool","--help"]',
      "--user",
      "65532",
      "--label",
      "a=b",
      first,
    );
    buildah("commit", "--quiet", first, `${image}-base`);
    const second = buildah("from", "--pull-never", `${image}-base`);
    const at = buildah("mount", second);
    for (const name of ["gone", "dir/below"]) rmSync(join(at, name), { recursive: true });
    mkdirSync(join(at, "dir/below")); // another one, which hides what was below
    // Of another length: within one second buildah takes a file of the same length for the same.
    writeFileSync(join(at, "changed"), "quite another\n");
    buildah("commit", "--quiet", second, image);
    return at;
  }

  test("is pulled of a registry and read as a layout, file by file what it sees itself, and given back as it was", async () => {
    const at = make("made");
    const name = `${registry.host}/of/buildah:1`;
    buildah("push", "--quiet", "--tls-verify=false", "made", `docker://${name}`);
    const { image } = await pull(name);
    expect(image.origin).toMatchObject({
      layers: [{}, {}],
      config: {
        env: { GREETING: "hello there" },
        cmd: ["/tool", "--help"],
        user: "65532",
        labels: { a: "b" },
      },
    });
    const files = readErofs(image.rootfsPath);
    for (const path of ["kept", "changed", "tool", "dir", "dir/below", "dir/linked", "dir/symlink"]) {
      const { mode, uid, gid, size, mtimeMs } = lstatSync(join(at, path));
      const seen = files.get(path)!;
      expect({ path, mode: seen.mode & 0o7777, uid: seen.uid, gid: seen.gid }).toEqual({
        path,
        mode: mode & 0o7777,
        uid,
        gid,
      });
      if (seen.kind === "file")
        expect(seen).toMatchObject({ size, sha256: sha256(readFileSync(join(at, path))) });
      expect(Math.floor(Number(BigInt(seen.mtimeNs) / 1_000_000_000n))).toBe(Math.floor(mtimeMs / 1000));
    }
    for (const path of ["gone", "dir/below/gone"]) {
      expect(existsSync(join(at, path))).toBe(false);
      expect(files.has(path)).toBe(false);
    }
    expect(files.get("dir/linked")!.inode).toBe(files.get("kept")!.inode);

    // A layout of its own, with the same layers, is the same image.
    buildah("push", "--quiet", "made", `oci:${join(home, "layout")}:latest`);
    const ofLayout = await pull(`oci:${join(home, "layout")}:latest`);
    expect(readErofs(ofLayout.image.rootfsPath)).toEqual(files);

    const to = `${registry.host}/of/us:1`;
    await pushImage(cache(), image.name, { to, arch: ARCH, deadline });
    const back = buildah("from", "--tls-verify=false", `docker://${to}`);
    expect(execFileSync("cat", [join(buildah("mount", back), "changed")], { encoding: "utf8" })).toBe(
      "quite another\n",
    );
  });
});
