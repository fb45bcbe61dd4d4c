import { SmolVMError } from "../../errors.ts";
import type { GuestWork } from "../../images/rootfs/foreign.ts";
import { SmolVM } from "../../smolvm.ts";
import { tailLines } from "../../util/tail-lines.ts";

/** Hundreds of packages, unpacked next to their archives. */
const DISK_MIB = 4096;
const MEMORY_MIB = 1024;
const ERROR_LINES = 20;

/**
 * Runs a part of an image's build in a sandbox of its architecture, from the minimal image.
 * @throws SmolVMError IMAGE_BUILD_FAILED with the last lines of the script, TIMEOUT, ABORTED, and those of a boot
 */
export async function finishInGuest(work: GuestWork): Promise<void> {
  const { arch, script, inputDisk, outputDisk, deadline, onLine } = work;
  onLine(`booting an emulated ${arch} sandbox`);
  const vm = await SmolVM.create({
    arch,
    image: "minimal",
    network: "off",
    memSizeMib: MEMORY_MIB,
    diskSizeMib: DISK_MIB,
    extraDrives: [{ path: inputDisk, readOnly: true }, { path: outputDisk }],
    signal: deadline.signal,
  });
  try {
    let rest = "";
    let tail = "";
    const onText = (chunk: Uint8Array): void => {
      tail = (tail + Buffer.from(chunk).toString("utf8")).slice(-8192);
    };
    const result = await vm.run(["sh", "-c", script], {
      ...deadline.limits,
      maxOutputBytes: 16 * 2 ** 20,
      onStdout: (chunk) => {
        onText(chunk);
        const parts = (rest + Buffer.from(chunk).toString("utf8")).split("\n");
        rest = (parts.pop() ?? "").slice(-4096);
        for (const line of parts) if (line !== "") onLine(line);
      },
      onStderr: onText,
    });
    if (!result.ok) {
      throw new SmolVMError(
        "IMAGE_BUILD_FAILED",
        `configuring the packages failed in the guest:\n${tailLines(tail, ERROR_LINES)}`,
        {
          hint: "Run it again with --verbose. If it fails again: use --image minimal for this architecture.",
          details: { exitCode: result.exitCode },
        },
      );
    }
    await vm.stop();
  } finally {
    await vm.delete({ force: true });
  }
}
