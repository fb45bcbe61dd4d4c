import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unpackImage } from "../../../../src/images/unpack/unpack-image.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { TarReader } from "../../../../src/util/tar/reader.ts";
import { readErofs } from "../../../helpers/read-erofs.ts";

const FORMATS: Readonly<Record<string, readonly string[]>> = {
  "GNU's old": ["--format=gnu"],
  "pax 0.0": ["--format=pax", "--sparse-version=0.0"],
  "pax 0.1": ["--format=pax", "--sparse-version=0.1"],
  "pax 1.0": ["--format=pax", "--sparse-version=1.0"],
};
/** `many` has more parts than a header and three blocks behind it list; `empty` is one hole. */
const FILES = ["many", "hole-first", "hole-last", "empty", "none", `a/${"long-".repeat(40)}name`, "plain"];

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "smt-sparse-"));
  const write = (name: string, size: number, parts: readonly [number, string][]): void => {
    const path = join(directory, name);
    const file = openSync(path, "w");
    for (const [at, text] of parts) writeSync(file, text, at);
    truncateSync(path, size);
  };
  execFileSync("mkdir", [join(directory, "a")]);
  write(
    "many",
    64 * 64 * 1024,
    Array.from({ length: 64 }, (_, index) => [index * 64 * 1024 + 5, `part ${index}`]),
  );
  write("hole-first", 1_000_000, [[999_000, "end".repeat(300)]]);
  write("hole-last", 3_000_001, [[0, "beginning"]]);
  write("empty", 2_000_000, []);
  write("none", 0, []);
  write(FILES[5]!, 500_000, [[200_000, "middle"]]);
  writeFileSync(join(directory, "plain"), Buffer.alloc(10_000, "plain"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

describe.each(Object.entries(FORMATS))("sparse files of GNU tar, %s", (_, format) => {
  const archive = (): Buffer =>
    execFileSync("tar", ["-S", ...format, "-cf", "-", "-C", directory, ...FILES], {
      maxBuffer: 64 * 2 ** 20,
    });

  test("come out as they were, in pieces of any size", () => {
    const bytes = archive();
    expect(bytes.length).toBeLessThan(1_500_000);
    for (const piece of [1, 511, 512, 1000, 1 << 20]) {
      const reader = new TarReader({ sparse: true });
      const found = new Map<string, string>();
      let name = "";
      let hash = createHash("sha256");
      let size = 0;
      // A byte at a time is slow: of the beginning alone.
      const part = piece === 1 ? bytes.subarray(0, 40_000) : bytes;
      for (let at = 0; at < part.length; at += piece) {
        for (const step of reader.push(part.subarray(at, at + piece))) {
          if (step.step === "entry") {
            name = Buffer.from(step.entry.path).toString();
            size = step.entry.size;
            hash = createHash("sha256");
          } else if (step.step === "data") {
            hash.update(step.data);
            size -= step.data.length;
          } else {
            expect(size).toBe(0);
            found.set(name, hash.digest("hex"));
          }
        }
      }
      if (piece !== 1) reader.finish();
      const wanted = FILES.filter((file) => piece !== 1 || found.has(file));
      expect(found).toEqual(
        new Map(wanted.map((file) => [file, sha256(readFileSync(join(directory, file)))])),
      );
    }
  });

  test("are whole in an image, and take its disk no room for their holes", async () => {
    const layer = join(directory, "layer.tar");
    writeFileSync(layer, archive());
    const rootfs = join(directory, "rootfs.erofs");
    await unpackImage(rootfs, [{ path: layer }], {
      image: "sparse",
      identity: "sparse",
      directories: [],
      deadline: Deadline.of("unpacking", { timeoutMs: 60_000 }),
    });
    const seen = readErofs(rootfs);
    for (const file of FILES) {
      const content = readFileSync(join(directory, file));
      expect(seen.get(file)).toMatchObject({ size: content.length });
      if (content.length > 0) expect(seen.get(file)?.sha256).toBe(sha256(content));
    }
    const blocks = Number(execFileSync("stat", ["-c", "%b", rootfs], { encoding: "utf8" }));
    expect(blocks * 512).toBeLessThan(7_000_000); // of 11 MB: holes are kept where 64 KiB are empty
  });
});
