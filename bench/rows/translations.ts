import { join } from "node:path";
import { processPaths } from "../../src/host/files/paths.ts";
import { findProgram } from "../../src/host/process/find-program.ts";
import { listQemus } from "../../src/images/store/qemu-store.ts";
import { SmolVM } from "../../src/index.ts";
import { MinimalTemplate } from "../floor/minimal-template.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

/**
 * Row 2b: row 2 on the QEMU of ours that was built last, with the code that it has kept, against a machine with the minimal agent that it alone
 * restores with such code. And what that is to others: to our QEMU without kept code, and to the distribution's.
 */
export async function withTranslations({ target, n = 20 }: Setting): Promise<Measurement[]> {
  const options = { ...target, template: "auto", accelerator: "tcg" } as const;
  const kinds = {
    own: await ownProgram(),
    distribution: findProgram("qemu-system-x86_64", "/usr/bin:/usr/local/bin")!,
  };
  const asked = process.env.SMOLVM_QEMU;
  for (const program of Object.values(kinds)) {
    process.env.SMOLVM_QEMU = program;
    await SmolVM.warm(options);
  }
  process.env.SMOLVM_QEMU = kinds.own;
  await using template = await MinimalTemplate.record({ ...target, accelerator: "tcg" }, true);
  const started = (program: string, translations: string) => async (): Promise<number> => {
    process.env.SMOLVM_QEMU = program;
    process.env.SMOLVM_TRANSLATIONS = translations;
    let vm: SmolVM | undefined;
    const took = await timed(async () => {
      vm = await SmolVM.create(options);
      checkOutput((await vm.run("echo hi")).stdout, "hi\n");
    });
    checkOutput(String((await vm!.info()).startedFrom), "template");
    await vm!.delete();
    return took;
  };
  try {
    const { kept, anew, distribution, floor } = await interleave(n, {
      kept: started(kinds.own, ""),
      anew: started(kinds.own, "off"),
      distribution: started(kinds.distribution, ""),
      floor: async () => {
        let agent: Awaited<ReturnType<MinimalTemplate["restore"]>> | undefined;
        const took = await timed(async () => {
          agent = await template.restore();
          checkOutput((await agent.run("/bin/sh", "-c", "echo hi")).text, "hi\n");
        });
        await agent![Symbol.asyncDispose]();
        return took;
      },
    });
    const against = (name: string, other: number[], goal: number): Measurement => {
      const samples = { ours: kept, floor: other };
      const what = { row: "2b", name, unit: "ms", goal: `<= ${goal} x` } as const;
      return { samples, row: toRow(what, samples, ({ ratio }) => ratio <= goal) };
    };
    return [
      against("kept translations: template -> first output, against the floor", floor, 1.3),
      against("the same against our QEMU without them", anew, 0.6),
      against("the same against the distribution's QEMU", distribution, 0.5),
    ];
  } finally {
    process.env.SMOLVM_QEMU = asked ?? "";
    process.env.SMOLVM_TRANSLATIONS = "";
  }
}

async function ownProgram(): Promise<string> {
  const built = await listQemus(processPaths());
  const newest = built.sort((a, b) => (a.manifest.createdAt < b.manifest.createdAt ? 1 : -1))[0];
  if (newest === undefined)
    throw new Error(`there is none in ${join(processPaths().cacheDir, "qemu")}: smolvm qemu build`);
  return newest.path;
}
