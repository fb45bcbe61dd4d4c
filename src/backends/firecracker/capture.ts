import { readFileSync, truncateSync } from "node:fs";
import type { VmFiles } from "../../host/files/filenames.ts";
import { copySparse, saveMemoryBeside } from "../../host/monitor/memory.ts";
import { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import type { Capture, Captured } from "../backend.ts";
import { readState, statePath } from "../state-file.ts";
import { ApiClient } from "./api-client.ts";
import { privateMapping } from "./memory-map.ts";
import { saveRequest, vmState } from "./requests.ts";

/** How long a machine that was stopped may take to go on, whatever became of what it was stopped for. */
const GO_ON_MS = 10_000;

const MIB = 2 ** 20;
const PAGE = 4096;

/**
 * Takes all of a machine that runs, at one moment. Of one that was booted, Firecracker writes the memory itself, all of it, while the
 * machine stands still. One that went on from a saved memory has to itself only what it has written: that is taken from Firecracker's
 * own memory, as of every VMM, and what Firecracker writes then is short.
 * @throws SmolVMError VMM_FAILED, DEPENDENCY_MISSING, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED; what `whileStopped` throws
 */
export async function captureFirecracker(
  files: VmFiles,
  { pid, memSizeMib, memory, beforeStop, whileStopped }: Capture,
  deadline: Deadline,
): Promise<Captured> {
  const bytes = memSizeMib * MIB;
  const address = privateMapping(readFileSync(`/proc/${pid}/maps`, "latin1"), bytes);
  if (address === undefined) await beforeStop?.();
  const saving =
    address === undefined
      ? undefined
      : await saveMemoryBeside({ pid, address, bytes }, { to: memory }, beforeStop, deadline);
  const state = statePath(files);
  const request = saveRequest(saving === undefined ? "Full" : "Diff", { state, memory: files.scratch });
  const client = new ApiClient(files.control);
  try {
    const stoppedAt = monotonicMs();
    const whileStill = async (): Promise<number> => {
      rmSync(state, { force: true });
      // Asked for its state, Firecracker tells the guest, in its memory, that its connections end (VIRTIO_VSOCK_EVENT_TRANSPORT_RESET): memory of before that would
      // not know of it, and the queue of such news not be where the state says.
      const saved = client.send([request], deadline).then(() => saving?.finish());
      // It stands still until nobody reads or writes what is its own, also when one of these has failed.
      const parts = [saved, whileStopped()] as const;
      await Promise.allSettled(parts);
      const [own] = await Promise.all(parts);
      return own ?? bytes / PAGE;
    };
    const pages = await standingStill(client, whileStill, deadline);
    const stoppedMs = monotonicMs() - stoppedAt;
    if (saving === undefined) await copySparse(files.scratch, memory, deadline, { makeHoles: true });
    return {
      state: readState(state),
      pages,
      stoppedMs,
      untranslated: Promise.resolve("Firecracker translates nothing"),
    };
  } catch (error) {
    await saving?.cancel();
    throw error;
  } finally {
    client.close();
    rmSync(state, { force: true });
    truncateSync(files.scratch);
  }
}

/** Its owner must not lose a machine for what was to be made of it: it goes on in any case. */
async function standingStill<T>(client: ApiClient, act: () => Promise<T>, deadline: Deadline): Promise<T> {
  try {
    await client.send([vmState("Paused")], deadline); // it may be done, although nobody waits for the answer any more
    return await act();
  } finally {
    await client.send([vmState("Resumed")], Deadline.within(GO_ON_MS, "letting the machine go on"));
  }
}
