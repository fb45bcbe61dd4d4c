import { createHash } from "node:crypto";
import type { Arch } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import { giveMemory, type OwnPages, saveMemoryBeside } from "../../host/monitor/memory.ts";
import { Deadline } from "../../util/deadline.ts";
import { rmSync } from "../../util/files-go.ts";
import { monotonicMs } from "../../util/monotonic.ts";
import type { Capture, Captured, Ended, RestoredMemory, Translations } from "../backend.ts";
import { dialWhenThere } from "../control-socket.ts";
import { readState, statePath } from "../state-file.ts";
import { freeLostPorts } from "./free-ports.ts";
import { QmpClient } from "./qmp-client.ts";
import { forgetTranslations, loadTranslations, saveTranslations } from "./translations.ts";

/** How long a machine that was stopped may take to go on, whatever became of what it was stopped for. */
const GO_ON_MS = 10_000;

/**
 * Stops a machine whose memory is a file, for good, and takes the state of its CPUs and devices.
 * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED
 */
export async function endWithState(
  client: QmpClient,
  files: VmFiles,
  translations: string,
  deadline: Deadline,
): Promise<Ended> {
  await client.execute("stop", undefined, deadline);
  const state = await saveState(client, files, deadline);
  const code = await saveTranslations(client, files, keyOf(state), deadline);
  await client.quit(deadline);
  return { state, untranslated: await code.take(translations) };
}

/** Translations go with this state, and no other. */
function keyOf(state: Uint8Array): string {
  return createHash("sha256").update(state).digest("hex");
}

/**
 * Has a machine that runs forget what it has translated; it stands still for a moment: QEMU would take it away from under a processor that runs.
 * @returns why translations cannot be kept; undefined: they can
 */
export async function forgetAll(client: QmpClient, deadline: Deadline): Promise<string | undefined> {
  try {
    await client.execute("stop", undefined, deadline);
    return await forgetTranslations(client, deadline);
  } finally {
    await client.execute("cont", undefined, Deadline.within(GO_ON_MS, "letting the machine go on"));
  }
}

/**
 * Takes all of a machine that runs, at one moment; it stands still for as long as that takes, and goes on.
 * @throws SmolVMError VMM_FAILED, DEPENDENCY_MISSING, HOST_FAILED, NO_SPACE, TIMEOUT, ABORTED; what `whileStopped` throws
 */
export async function captureRunning(
  client: QmpClient,
  files: VmFiles,
  { arch, pid, memSizeMib, memory, map, translations, beforeStop, whileStopped }: Capture,
  deadline: Deadline,
): Promise<Captured> {
  const address = await memoryAddress(client, arch, deadline);
  const part = { pid, address, bytes: memSizeMib * 2 ** 20 };
  const saving = await saveMemoryBeside(part, { to: memory, map }, beforeStop, deadline);
  try {
    const stoppedAt = monotonicMs();
    try {
      await client.execute("stop", undefined, deadline); // it may be done, although nobody waits for the answer any more
      const [pages, { state, code }] = await Promise.all([
        saving.finish(),
        saveState(client, files, deadline).then(async (state) => ({
          state,
          code: await saveTranslations(client, files, keyOf(state), deadline),
        })),
        whileStopped(),
      ]);
      await client.execute("cont", undefined, deadline);
      const stoppedMs = monotonicMs() - stoppedAt;
      return { state, pages, stoppedMs, untranslated: code.take(translations) };
    } catch (error) {
      // Its owner must not lose it for what was to be made of it.
      await letGoOn(client, files, Deadline.within(GO_ON_MS, "letting the machine go on"));
      throw error;
    }
  } catch (error) {
    await saving.cancel();
    throw error;
  }
}

/** A machine that stands still goes on. @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED */
export async function letGoOn(client: QmpClient, files: VmFiles, deadline: Deadline): Promise<void> {
  await client.execute("cont", undefined, deadline);
  await freeLostPorts(client, files, deadline);
}

/**
 * The state of all but memory and disks. The command's name is historical: it is in every build, and writes what a migration would
 * without the memory (qemu: migration/savevm.c, qmp_xen_save_devices_state).
 */
async function saveState(client: QmpClient, files: VmFiles, deadline: Deadline): Promise<Buffer> {
  const path = statePath(files);
  rmSync(path, { force: true });
  try {
    await client.execute("xen-save-devices-state", { filename: path, live: false }, deadline);
    return readState(path);
  } finally {
    rmSync(path, { force: true });
  }
}

/** Where a guest's memory begins, in its own addresses: the machine types' (qemu: hw/arm/virt.c, base_memmap; x86's begin at 0). */
const FIRST_ADDRESS = { x86_64: 0, aarch64: 0x4000_0000 } as const;

/** Where in QEMU's own memory that of the guest begins: it is one part, in the order of the guest's addresses. */
async function memoryAddress(client: QmpClient, arch: Arch, deadline: Deadline): Promise<number> {
  const command = { "command-line": `gpa2hva 0x${FIRST_ADDRESS[arch].toString(16)}` };
  const said = String(await client.execute("human-monitor-command", command, deadline));
  const address = Number(/ is (0x[0-9a-f]+)/.exec(said)?.[1] ?? Number.NaN);
  if (Number.isSafeInteger(address)) return address;
  throw new SmolVMError("VMM_FAILED", `QEMU does not say where the guest's memory is: ${said.trim()}`);
}

/**
 * Hands a QEMU that waits for it the state to go on from, and waits until it runs.
 * @returns why it does not use what the recorded machine had translated; undefined: it does
 * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED; that QEMU does not take it shows in its end
 */
export async function resumeFromState(
  files: VmFiles,
  { arch, pid, memSizeMib }: Pick<Capture, "arch" | "pid" | "memSizeMib">,
  { rest }: RestoredMemory,
  deadline: Deadline,
): Promise<string | undefined> {
  const path = statePath(files); // a socket's this time
  const { client, ready } = QmpClient.begin(await dialWhenThere(files.control, deadline), deadline);
  ready.catch(() => {}); // where the rest does not come, nobody waits for it
  try {
    // Who connects to its sockets before that is not told to the guest, which may think that it knows the other end.
    const runs = new Promise<void>((resolve) => {
      client.onEvent((name) => {
        if (name === "RESUME") resolve();
      });
    });
    const { state, translations, pages } = await deadline.race(Promise.race([rest, client.lost]));
    const given = async (own: OwnPages): Promise<void> =>
      giveMemory(
        { pid, address: await memoryAddress(client, arch, deadline), bytes: memSizeMib * 2 ** 20 },
        own,
        deadline,
      );
    const load = async (kept: Translations): Promise<string | undefined> =>
      "why" in kept
        ? kept.why
        : loadTranslations(client, { ...kept, key: kept.wholeFor ?? keyOf(state) }, deadline);
    // Answered in their order. It looks at the translations before it runs, and takes them then.
    const [untranslated] = await Promise.all([
      translations instanceof Promise ? deadline.race(translations.then(load)) : load(translations),
      client.execute("migrate-incoming", { uri: `unix:${path}` }, deadline),
      ready,
      pages && given(pages),
    ]);
    const socket = await dialWhenThere(path, deadline);
    await deadline.race(
      new Promise<void>((resolve, reject) => {
        socket.once("error", (cause) =>
          reject(new SmolVMError("VMM_FAILED", `QEMU did not take its state: ${cause.message}`, { cause })),
        );
        socket.end(state, resolve);
      }),
    );
    await deadline.race(Promise.race([runs, client.lost]));
    return untranslated;
  } finally {
    client.close();
  }
}
