import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { KeptTar } from "../../../../src/images/unpack/kept-tar.ts";
import { unpackImage } from "../../../../src/images/unpack/unpack-image.ts";
import { Deadline } from "../../../../src/util/deadline.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "smt-kept-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("a tar is kept up to what there is room for, and a larger one is not there at all", async () => {
  const path = join(directory, "0.tar");
  const fits = await KeptTar.create(path, 10);
  await fits.write(Buffer.from("01234"));
  await fits.write(Buffer.from("56789"));
  await fits.end();
  expect([fits.path, fits.bytes]).toEqual([path, 10]);
  expect(readFileSync(path, "utf8")).toBe("0123456789");
  await fits.remove();
  expect(existsSync(path)).toBe(false);

  const large = await KeptTar.create(path, 9);
  await large.write(Buffer.from("01234"));
  await large.write(Buffer.from("56789"));
  await large.write(Buffer.from("more"));
  await large.end();
  expect([large.path, large.bytes, existsSync(path)]).toEqual([undefined, 0, false]);
});

test("a kept tar is read as one, whatever its first name begins with; nothing of it is left", async () => {
  // The name's first bytes are those that tell gzip.
  const tar = execFileSync("sh", ["-c", `printf content > "$(printf '\\037\\213name')" && tar -cf - *`], {
    cwd: directory,
  });
  expect(tar.subarray(0, 2).toString("hex")).toBe("1f8b");
  const [layer, target] = [join(directory, "layer"), join(directory, "rootfs.erofs")];
  writeFileSync(layer, gzipSync(tar));
  await unpackImage(target, [{ path: layer }], {
    image: "a test's",
    identity: "test",
    directories: [],
    deadline: Deadline.of("unpacking"),
  });
  expect(readFileSync(target).includes("content")).toBe(true);
  expect(readdirSync(directory).filter((name) => name.endsWith(".tar"))).toEqual([]);
});
