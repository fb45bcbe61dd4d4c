import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processPaths } from "../../src/host/files/paths.ts";
import { isStageImage } from "../../src/images/store/reference.ts";
import { listImages, removeImage } from "../../src/images/store/store.ts";
import { images } from "../../src/index.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

const EIGHT = [
  "WORKDIR /app",
  "COPY a .",
  ...Array.from({ length: 6 }, (_, index) => `RUN seq 1 20000 > /app/${index}`),
];
/** The ninth and the tenth step. */
const TWO = ["COPY b .", "RUN cat a b"];

/**
 * Row 20, over the default image: a build of ten steps of which the ninth has changed, against the ninth and tenth alone (over an image that the eight before have
 * made); again and again, and the first time, when there is no image yet of what the eight have made. The second is without templates: what is new has none, and what the two alone boot
 * from had one. Each build is another one, because the file that the ninth copies is; what the tenth prints is checked.
 */
export async function builds({ target, n = 5 }: Setting): Promise<Measurement[]> {
  const directory = mkdtempSync(join(tmpdir(), "smb-builds-"));
  const tags: string[] = [];
  let before: string[] = [];
  const { timeoutMs } = target;
  const context = (called: string, from: string, steps: readonly string[]): string => {
    const root = join(directory, called);
    mkdirSync(root);
    writeFileSync(join(root, "Dockerfile"), `FROM ${from}\n${steps.join("\n")}\n`);
    writeFileSync(join(root, "a"), `${directory}\n`);
    return root;
  };
  let round = 0;
  const build = async (root: string, tag: string): Promise<void> => {
    const content = `${++round}\n`;
    writeFileSync(join(root, "b"), content);
    let printed = "";
    await images.build(root, {
      tags: [tag],
      network: "off",
      timeoutMs,
      onEvent: (event) => {
        if (event.type === "output") printed += Buffer.from(event.data).toString();
      },
    });
    checkOutput(printed, `${directory}\n${content}`);
  };
  try {
    const [eight, ten, two] = ["bench-eight", "bench-ten", "bench-two"].map((tag) => {
      tags.push(tag);
      return tag;
    }) as [string, string, string];
    // The steps are known then.
    const all = context("all", "debian", [...EIGHT, ...TWO]);
    await build(all, ten);
    before = await stages(); // the default image's own among them
    // Its label makes it another image than the one that a build of the ten boots from.
    const labels = { bench: directory };
    await images.build(context("eight", "debian", EIGHT), {
      tags: [eight],
      network: "off",
      timeoutMs,
      labels,
    });
    const alone = context("alone", eight, TWO);
    const floor = (): Promise<number> => timed(() => build(alone, two));
    const ours = (): Promise<number> => timed(() => build(all, ten));
    // A template of what each boots from is made beside its second build, and after it.
    for (let boot = 0; boot < 4; boot++) await interleave(0, { ours, floor });
    const again = await interleave(n, { ours, floor });
    const first = await withoutTemplates(() =>
      interleave(n, {
        ours: async () => {
          await forgetStages(before);
          return await ours();
        },
        floor,
      }),
    );
    const [what, goal] = [{ row: "20", unit: "ms" } as const, "x the ninth and tenth alone"];
    return [
      {
        samples: again,
        row: toRow(
          { ...what, name: "a build of ten steps, the ninth changed", goal: `<= 1.1 ${goal}` },
          again,
          ({ ratio }) => ratio <= 1.1,
        ),
      },
      {
        samples: first,
        row: toRow(
          { ...what, name: "the same, changed for the first time", goal: `<= 1.4 ${goal}` },
          first,
          ({ ratio }) => ratio <= 1.4,
        ),
      },
    ];
  } finally {
    await forgetStages(before);
    for (const tag of tags) await removeImage(processPaths(), tag, "x86_64", () => []).catch(() => {}); // it may not have come so far
    rmSync(directory, { recursive: true, force: true });
  }
}

async function withoutTemplates<T>(act: () => Promise<T>): Promise<T> {
  const { SMOLVM_TEMPLATE: before } = process.env;
  process.env.SMOLVM_TEMPLATE = "off";
  try {
    return await act();
  } finally {
    if (before === undefined) delete process.env.SMOLVM_TEMPLATE;
    else process.env.SMOLVM_TEMPLATE = before;
  }
}

/** What stages of builds have booted from. */
async function stages(): Promise<string[]> {
  return (await listImages(processPaths())).map(({ name }) => name).filter(isStageImage);
}

/** Removes those that this run has made. */
async function forgetStages(before: readonly string[]): Promise<void> {
  for (const name of await stages())
    if (!before.includes(name)) await removeImage(processPaths(), name, "x86_64", () => []);
}
