import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Progress } from "../../../../src/config/progress.ts";
import { images, SmolVM } from "../../../../src/index.ts";
import { scaled } from "../../../helpers/speed.ts";

/** What somebody who begins with an image of ours waits for, up to its packages: all of it takes a minute. */
interface Beginning {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: Progress) => void;
}

// A user who has nothing yet.
describe.skipIf(process.platform === "win32")("an image of ours that is not there", () => {
  const home = mkdtempSync(join(tmpdir(), "smt-own-"));
  const context = (name: string, dockerfile: string): string => {
    mkdirSync(join(home, name));
    writeFileSync(join(home, name, "Dockerfile"), dockerfile);
    return join(home, name);
  };
  let before: string | undefined;
  beforeAll(() => {
    before = process.env.SMOLVM_HOME;
    process.env.SMOLVM_HOME = join(home, "smolvm");
  });
  afterAll(() => {
    if (before === undefined) delete process.env.SMOLVM_HOME;
    else process.env.SMOLVM_HOME = before;
    rmSync(home, { recursive: true, force: true });
  });

  const BEGUN: readonly (readonly [string, string, (beginning: Beginning) => Promise<unknown>])[] = [
    ["the default image of a run", "debian", (with_) => SmolVM.create(with_)],
    ["the image that a run names", "minimal", (with_) => SmolVM.create({ image: "minimal", ...with_ })],
    [
      "what a Dockerfile begins with",
      "debian",
      (with_) => images.build(context("from", "FROM debian\n"), with_),
    ],
    [
      "what it copies from",
      "minimal",
      (with_) => images.build(context("copy", "FROM scratch\nCOPY --from=minimal /bin /bin\n"), with_),
    ],
    [
      "one that is to be looked for again",
      "debian",
      (with_) => images.build(context("always", "FROM debian\n"), { pull: "always", ...with_ }),
    ],
  ];
  test.for(BEGUN)("is made, and that is told: %s", { timeout: scaled(30_000) }, async ([, name, begin]) => {
    const abort = new AbortController();
    const told: string[] = [];
    const onProgress = ({ stage, message }: Progress): void => {
      told.push(message);
      if (stage === "packages") abort.abort();
    };
    await expect(begin({ signal: abort.signal, onProgress })).rejects.toMatchObject({ code: "ABORTED" });
    expect(told[0]).toMatch(new RegExp(`^making the image ${name}, once: reading the package lists of http`));
  });

  const NEVER: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["a run", () => SmolVM.create({ pull: "never" })],
    ["a Dockerfile", () => images.build(context("never", "FROM debian\n"), { pull: "never" })],
  ];
  test.for(NEVER)(
    "is refused with the command that makes it, if nothing may be got: %s",
    async ([, begin]) => {
      await expect(begin()).rejects.toMatchObject({
        code: "IMAGE_NOT_FOUND",
        hint: "Build it: smolvm image build debian",
      });
    },
  );

  test("for another architecture is made by itself only where that takes no emulated minutes", async () => {
    const arch = process.arch === "arm64" ? "x86_64" : "aarch64";
    await expect(SmolVM.create({ arch })).rejects.toMatchObject({
      code: "IMAGE_NOT_FOUND",
      hint: `Build it: smolvm image build debian --arch ${arch}`,
    });
    const abort = new AbortController();
    const onProgress = ({ message }: Progress): void => {
      if (message.startsWith("making the image minimal")) abort.abort();
    };
    const making = SmolVM.create({ arch, image: "minimal", onProgress, signal: abort.signal });
    await expect(making).rejects.toMatchObject({ code: "ABORTED" });
  });
});
