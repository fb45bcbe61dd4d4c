import { chmodSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import type { VmFiles } from "../../host/files/filenames.ts";
import type { Deadline } from "../../util/deadline.ts";
import { dialWhenThere } from "../control-socket.ts";
import { QmpClient } from "./qmp-client.ts";

/**
 * A migration whose memory is a file that both machines open: the stream holds the rest, tens of KB
 * (qemu: migration/options.c, MIGRATION_CAPABILITY_X_IGNORE_SHARED).
 */
const WITHOUT_MEMORY = { capabilities: [{ capability: "x-ignore-shared", state: true }] };

/** A state is some tens of KB: more than this is none. */
const STATE_MAX_BYTES = 64 << 20;

/** Between looks whether QEMU has written all. */
const LOOK_AGAIN_MS = 1;

/** The socket of a machine's migration: nothing else gets through QEMU's seccomp filter in every version. */
const socketPath = ({ runtimeDir }: VmFiles): string => join(runtimeDir, "state");

/**
 * Stops a machine, takes its state and ends it.
 * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED
 */
export async function captureState(client: QmpClient, files: VmFiles, deadline: Deadline): Promise<Buffer> {
  const path = socketPath(files);
  rmSync(path, { force: true });
  await client.execute("stop", undefined, deadline);
  await client.execute("migrate-set-capabilities", WITHOUT_MEMORY, deadline);
  const receiver = receiveOnce(path);
  try {
    await deadline.race(receiver.listening);
    chmodSync(path, 0o666); // QEMU may have a uid of its own; the directory is private
    await client.execute("migrate", { uri: `unix:${path}` }, deadline);
    const state = await deadline.race(receiver.content);
    await migrated(client, deadline);
    await client.quit(deadline);
    return state;
  } finally {
    receiver.close();
  }
}

/** Waits until QEMU says that it has written all. @throws SmolVMError VMM_FAILED */
async function migrated(client: QmpClient, deadline: Deadline): Promise<void> {
  for (;;) {
    const answer = (await client.execute("query-migrate", undefined, deadline)) as {
      status?: string;
      "error-desc"?: string;
    };
    if (answer.status === "completed") return;
    if (answer.status === "failed" || answer.status === "cancelled") {
      throw new SmolVMError(
        "VMM_FAILED",
        `QEMU could not save its state: ${answer["error-desc"] ?? answer.status}`,
      );
    }
    await deadline.sleep(LOOK_AGAIN_MS);
  }
}

/** All that the first connection to a socket sends. */
function receiveOnce(path: string): {
  listening: Promise<void>;
  content: Promise<Buffer>;
  close: () => void;
} {
  const server = createServer();
  const listening = new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  const content = new Promise<Buffer>((resolve, reject) => {
    server.once("connection", (socket: Socket) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      socket.on("data", (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > STATE_MAX_BYTES) socket.destroy(new Error("the state is too large to be one"));
        else pieces.push(piece);
      });
      socket.on("error", reject);
      socket.on("end", () => resolve(Buffer.concat(pieces)));
    });
  });
  content.catch(() => {}); // whoever gave up before does not ask
  return { listening, content, close: () => void server.close() };
}

/**
 * Hands a QEMU that waits for it the state to go on from; it runs as soon as it has it.
 * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED; that QEMU does not take it shows in its end
 */
export async function resumeFromState(files: VmFiles, state: Uint8Array, deadline: Deadline): Promise<void> {
  const path = socketPath(files);
  const client = await QmpClient.over(await dialWhenThere(files.control, deadline), deadline);
  try {
    await client.execute("migrate-set-capabilities", WITHOUT_MEMORY, deadline);
    await client.execute("migrate-incoming", { uri: `unix:${path}` }, deadline);
  } finally {
    client.close();
  }
  const socket = await dialWhenThere(path, deadline);
  await deadline.race(
    new Promise<void>((resolve, reject) => {
      socket.once("error", (cause) =>
        reject(new SmolVMError("VMM_FAILED", `QEMU did not take its state: ${cause.message}`, { cause })),
      );
      socket.end(state, resolve);
    }),
  );
}
