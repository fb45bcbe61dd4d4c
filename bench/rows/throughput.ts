import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SmolVM } from "../../src/index.ts";
import { rawAgent } from "../machine.ts";
import type { Setting } from "../setting.ts";
import { checkOutput, interleave, type Measurement, type Samples, timed, toRow } from "../stats.ts";

/** Row 6: a file up, down and as a command's output, against the raw channel with `cat` at the far end. */
export async function throughput({ target, n = 3, mib }: Setting): Promise<Measurement[]> {
  const size = mib * 2 ** 20;
  const local = mkdtempSync(join(tmpdir(), "smolvm-bench-"));
  const block = Buffer.alloc(64 * 1024, "0123456789abcdef");
  const source = join(local, "source");
  writeFileSync(source, Buffer.alloc(size, block));
  try {
    await using vm = await SmolVM.create({ ...target, memSizeMib: 1024 });
    const raw = await rawAgent(vm, 4);
    const peakBefore = process.memoryUsage().rss;

    const rates = (ours: () => Promise<void>, floor: () => Promise<void>): Promise<Samples> => {
      const rate = (act: () => Promise<void>) => async () => (mib * 1000) / (await timed(act));
      return interleave(n, { ours: rate(ours), floor: rate(floor) });
    };
    const upload = await rates(
      async () => {
        await vm.files.upload(source, "/root/blob");
        checkOutput((await vm.run("stat -c %s /root/blob")).stdout, `${size}\n`);
      },
      async () => {
        const { text } = await raw.run("cat > /root/blob && stat -c %s /root/blob", {
          stdin: block,
          times: size / block.length,
        });
        checkOutput(text, `${size}\n`);
      },
    );
    const download = await rates(
      async () => {
        const copy = join(local, "target");
        await vm.files.download("/root/blob", copy);
        checkOutput(await head(copy), "0123456789abcdef");
        rmSync(copy);
      },
      async () => {
        const { bytes } = await raw.run("cat /root/blob", { keep: false });
        checkOutput(String(bytes), String(size));
      },
    );
    const output = await rates(
      async () => {
        let bytes = 0;
        const cat = vm.spawn(["cat", "/root/blob"]);
        for await (const { data } of cat) bytes += data.length;
        checkOutput(String(bytes), String(size));
      },
      async () => {
        const { bytes } = await raw.run("cat /root/blob", { keep: false });
        checkOutput(String(bytes), String(size));
      },
    );
    raw.close();
    console.error(
      `host memory: ${Math.round((process.memoryUsage().rss - peakBefore) / 1048576)} MiB more than before`,
    );
    return [
      measurement(`upload ${mib} MiB`, upload),
      measurement(`download ${mib} MiB`, download),
      measurement(`command output ${mib} MiB`, output),
    ];
  } finally {
    rmSync(local, { recursive: true, force: true });
  }
}

function measurement(name: string, samples: Samples): Measurement {
  const row = toRow(
    { row: "6", name, unit: "MiB/s", goal: ">= 0.8 x floor" },
    samples,
    ({ ratio }) => ratio >= 0.8,
  );
  return { samples, row };
}

async function head(path: string): Promise<string> {
  for await (const chunk of createReadStream(path, { end: 15 })) return String(chunk);
  return "";
}
