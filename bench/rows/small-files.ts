import { SmolVM } from "../../src/index.ts";
import { MinimalAgent } from "../floor/minimal-agent.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, timed, toRow } from "../stats.ts";

/** The most that one may take at the median, in ms. */
const MOST_MS = 2.5;
const CONTENT = "a line of a small file\n";

/** Row 12: `files.stat`, a small read and a small write, beside a minimal agent that does them with its own hands. */
export async function smallFiles({ target, runs }: Setting): Promise<Measurement[]> {
  await using vm = await SmolVM.create(target);
  await using minimal = await MinimalAgent.boot(target);
  const path = "/root/small";
  await vm.files.write(path, CONTENT);
  await minimal.write(path, CONTENT);
  const { stat, statFloor, read, readFloor, write, writeFloor } = await interleave(runs, {
    stat: () =>
      timed(async () => checkOutput(String((await vm.files.stat(path)).size), String(CONTENT.length))),
    statFloor: () => timed(async () => checkOutput(String((await minimal.stat(path)).status), "0")),
    read: () => timed(async () => checkOutput(await vm.files.readText(path), CONTENT)),
    readFloor: () => timed(async () => checkOutput((await minimal.read(path)).text, CONTENT)),
    write: () => timed(() => vm.files.write(path, CONTENT)),
    writeFloor: () =>
      timed(async () => checkOutput(String((await minimal.write(path, CONTENT)).status), "0")),
  });
  const measurement = (name: string, samples: Measurement["samples"]): Measurement => ({
    samples,
    row: toRow(
      { row: "12", name, unit: "ms", goal: `p50 <= ${MOST_MS} ms` },
      samples,
      ({ p50 }) => p50 <= MOST_MS,
    ),
  });
  return [
    measurement("files.stat", { ours: stat, floor: statFloor }),
    measurement("a small file read", { ours: read, floor: readFloor }),
    measurement("a small file written", { ours: write, floor: writeFloor }),
  ];
}
