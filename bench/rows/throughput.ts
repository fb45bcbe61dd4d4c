import { createReadStream, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SmolVM } from "../../src/index.ts";
import { rawAgent, type Target } from "../machine.ts";
import { checkOutput, interleave, type Measurement, type Samples, timed, toRow } from "../stats.ts";

const MIB = 256;
const BYTES = MIB * 1024 * 1024;

/** Row 6: 256 MiB up, down and as a command's output, against the raw channel with `cat` at the far end. */
export async function throughput(target: Target, n: number = 3): Promise<Measurement[]> {
  const local = mkdtempSync(join(tmpdir(), "smolvm-bench-"));
  const block = Buffer.alloc(64 * 1024, "0123456789abcdef");
  const source = join(local, "source");
  writeFileSync(source, Buffer.alloc(BYTES, block));
  try {
    await using vm = await SmolVM.create({ ...target, memSizeMib: 1024 });
    const raw = await rawAgent(vm, 4);
    const peakBefore = process.memoryUsage().rss;

    const upload = await rates(
      n,
      async () => {
        await vm.files.upload(source, "/root/blob");
        checkOutput((await vm.run("stat -c %s /root/blob")).stdout, `${BYTES}\n`);
      },
      async () => {
        const { text } = await raw.run("cat > /root/blob && stat -c %s /root/blob", {
          stdin: block,
          times: BYTES / block.length,
        });
        checkOutput(text, `${BYTES}\n`);
      },
    );
    const download = await rates(
      n,
      async () => {
        const copy = join(local, "target");
        await vm.files.download("/root/blob", copy);
        checkOutput(await head(copy), "0123456789abcdef");
        rmSync(copy);
      },
      async () => {
        const { bytes } = await raw.run("cat /root/blob", { keep: false });
        checkOutput(String(bytes), String(BYTES));
      },
    );
    const output = await rates(
      n,
      async () => {
        let bytes = 0;
        const cat = vm.spawn(["cat", "/root/blob"]);
        for await (const { data } of cat) bytes += data.length;
        checkOutput(String(bytes), String(BYTES));
      },
      async () => {
        const { bytes } = await raw.run("cat /root/blob", { keep: false });
        checkOutput(String(bytes), String(BYTES));
      },
    );
    raw.close();
    console.error(
      `host memory: ${Math.round((process.memoryUsage().rss - peakBefore) / 1048576)} MiB more than before`,
    );
    return [
      measurement("upload 256 MiB", upload),
      measurement("download 256 MiB", download),
      measurement("command output 256 MiB", output),
    ];
  } finally {
    rmSync(local, { recursive: true, force: true });
  }
}

async function rates(n: number, ours: () => Promise<void>, floor: () => Promise<void>): Promise<Samples> {
  const rate = (act: () => Promise<void>) => async () => (MIB * 1000) / (await timed(act));
  return interleave(n, rate(ours), rate(floor));
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
