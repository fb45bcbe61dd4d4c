import { spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { captureFirecracker } from "../../../src/backends/firecracker/capture.ts";
import { vmFiles } from "../../../src/host/files/filenames.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { until } from "../../helpers/wait.ts";

const FAKE = join(import.meta.dirname, "../../helpers/fake-firecracker-memory.py");
const PAGE = 4096;

// In the child of a fork this was missing in two cases of five: the guest then waited ten seconds for the end of connections that had ended (lab, Firecracker 1.12).
test("what Firecracker writes to the guest when it is asked for its state is in the memory that is taken", async () => {
  const dir = mkdtempSync(join(tmpdir(), "smfc-"));
  const files = vmFiles(dir, join(dir, "run"), "0123456789ab");
  for (const path of [files.dir, files.runtimeDir]) mkdirSync(path, { recursive: true });
  const from = join(dir, "from");
  writeFileSync(from, Buffer.alloc(4 << 20, "before"));
  const vmm = spawn("python3", [FAKE, files.control, from, "an event", "700"], { stdio: "inherit" });
  try {
    await until("it listens", () => existsSync(files.control));
    const memory = join(dir, "memory");
    writeFileSync(memory, "");
    writeFileSync(files.scratch, "");
    let stoodStill = false;
    const captured = await captureFirecracker(
      files,
      {
        arch: "x86_64",
        pid: vmm.pid!,
        memSizeMib: 4,
        memory,
        translations: join(dir, "code"),
        whileStopped: async () => {
          stoodStill = true;
        },
      },
      Deadline.within(20_000, "capturing"),
    );
    expect([captured.state.toString(), captured.pages, stoodStill]).toEqual(["state", 1, true]);
    const page = Buffer.alloc(PAGE);
    readSync(openSync(memory, "r"), page, 0, PAGE, 700 * PAGE);
    expect(page.subarray(0, 14).toString()).toBe(
      `an event${readFileSync(from, "latin1").slice(700 * PAGE + 8, 700 * PAGE + 14)}`,
    );
  } finally {
    vmm.kill("SIGKILL");
    rmSync(dir, { recursive: true, force: true });
  }
});
