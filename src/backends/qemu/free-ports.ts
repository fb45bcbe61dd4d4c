/**
 * Ports of the channel whose host is gone, and whose guest was not told: QEMU tells its devices nothing of that while the machine stands still (qemu:
 * hw/char/virtio-console.c, virtconsole_enable_backend), and a port that waited for its host to read when the machine was captured waits for ever in what goes on
 * from it, because its rest is tried while nobody is connected (flush_buf, which gets no watch from a socket without a peer). A host that comes and leaves
 * mends both (hw/char/virtio-serial-bus.c, virtio_serial_close).
 */
import { connect } from "node:net";
import type { VmFiles } from "../../host/files/filenames.ts";
import type { Deadline } from "../../util/deadline.ts";
import type { QmpClient } from "./qmp-client.ts";

/**
 * Frees the ports of a machine that runs again at which there is no host. Who connects to one of them next is served after that: such a socket has one peer
 * at a time.
 * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED: it does not say which they are
 */
export async function freeLostPorts(client: QmpClient, files: VmFiles, deadline: Deadline): Promise<void> {
  await freePorts(
    portsWithoutHost(await client.execute("query-chardev", undefined, deadline)).map(files.channel),
  );
}

/** The same for the sockets of ports of which it is known that they have none. */
export async function freePorts(sockets: readonly string[]): Promise<void> {
  await Promise.all(sockets.map(comeAndLeave));
}

/** Where that is not possible somebody else is about to come, and to leave. */
function comeAndLeave(path: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ path }, () => socket.destroy());
    socket.once("error", () => {}).once("close", () => resolve());
  });
}

/** By what `query-chardev` says. Pure. */
export function portsWithoutHost(chardevs: unknown): number[] {
  if (!Array.isArray(chardevs)) return [];
  return chardevs.flatMap(({ label, filename }: { label?: unknown; filename?: unknown }) => {
    const port = /^channel(\d+)$/.exec(String(label))?.[1];
    return port !== undefined && String(filename).startsWith("disconnected:unix:") ? [Number(port)] : [];
  });
}
