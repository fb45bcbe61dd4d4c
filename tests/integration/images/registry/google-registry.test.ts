import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pullNamed } from "../../../../src/images/boot/pull-image.ts";
import { pushImage } from "../../../../src/images/push.ts";
import { Deadline } from "../../../../src/util/deadline.ts";
import { googleTools, startGoogleRegistry } from "../../../helpers/google-registry.ts";
import { layerTar } from "../../../helpers/layers.ts";
import { readErofs } from "../../../helpers/read-erofs.ts";
import { addSmallImage } from "../../../helpers/small-image.ts";

const TOOLS = googleTools();

// Made with SMOLVM_TEST_LONG, where there is a Go that is new enough.
describe.skipIf(TOOLS === undefined)("Google's registry", () => {
  let home: string;
  let host: string;
  let stop: () => Promise<void>;
  beforeAll(async () => {
    home = mkdtempSync(join(tmpdir(), "smolvm-google-"));
    ({ host, stop } = await startGoogleRegistry(TOOLS!));
    await addSmallImage(cache().cacheDir, "minimal");
  });
  afterAll(async () => {
    await stop?.();
    rmSync(home, { recursive: true, force: true });
  });

  const cache = () => ({ cacheDir: join(home, "cache") });
  const crane = (...args: string[]): string =>
    execFileSync(join(TOOLS!, "crane"), args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const deadline = (): Deadline => Deadline.of("testing", { timeoutMs: 60_000 });
  const pull = (name: string) => pullNamed(cache(), name, { arch: "x86_64", deadline: deadline() });

  test("gives what crane has put there, layer by layer, and takes the same image, with the same digest", async () => {
    const names: string[] = [];
    for (const [index, content] of ["one", randomBytes(3_000_000)].entries()) {
      const tar = join(home, `${index}.tar`);
      writeFileSync(tar, layerTar([{ path: "./" }, { path: `f${index}`, content }]));
      const to = `${host}/appended:${index}`;
      const base = names.at(-1);
      crane("append", "--insecure", "-f", tar, "-t", to, ...(base === undefined ? [] : ["-b", base]));
      names.push(to);
    }
    const { image } = await pull(names[1]!);
    expect([...readErofs(image.rootfsPath).keys()]).toEqual(expect.arrayContaining(["f0", "f1"]));
    const digest = crane("digest", "--insecure", names[1]!).trim();
    expect(image.origin!.manifest).toBe(digest);
    const to = `${host}/sent/on:1`;
    const pushed = await pushImage(cache(), image.name, { arch: "x86_64", to, deadline: deadline() });
    expect(pushed.manifest).toBe(digest);
    expect(crane("digest", "--insecure", to).trim()).toBe(digest);
    crane("validate", "--insecure", "--remote", to);
    expect((await pull(to)).image.digest).toBe(image.digest);
    await expect(pull(`${host}/none:1`)).rejects.toMatchObject({ code: "IMAGE_NOT_FOUND" });
    crane("export", "--insecure", to, join(home, "flat.tar"));
    expect(readFileSync(join(home, "flat.tar")).includes("one")).toBe(true);
  });
});
