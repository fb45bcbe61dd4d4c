import { createServer, type Server } from "node:net";
import { isSmolVMError } from "../errors.ts";
import { ownNetworks } from "../host/own-networks.ts";
import { isIpv4 } from "../network/open-rules.ts";
import { SmolVM } from "../smolvm.ts";
import { formatIp } from "../util/ip-address.ts";
import { type CheckResult, fail, pass } from "./check.ts";

const REPORT = "Please report it, with: smolvm doctor --deep --json";
/** QEMU's name in its user-mode network for this machine's loopback. */
const HOST_LOOPBACK = "10.0.2.2";
/** How long the guest tries each address. */
const TRY_S = 2;

/**
 * Boots a sandbox with an open network, and has its root try to reach a server on this machine, by each address that this machine has.
 * @param predicted how its network was predicted to be kept apart
 */
export async function proveNetwork(predicted: string, signal: AbortSignal | undefined): Promise<CheckResult> {
  const name = "Network proven";
  const reached: string[] = [];
  const server = createServer((socket) => {
    reached.push(socket.localAddress ?? "this machine");
    socket.destroy();
  });
  let vm: SmolVM | undefined;
  try {
    const port = await listening(server);
    vm = await SmolVM.create({ backend: "qemu", network: "open", signal });
    for (const address of [HOST_LOOPBACK, ...ownAddresses()]) {
      const connect = `timeout ${TRY_S} bash -c ': </dev/tcp/${address}/${port}'`;
      await vm.run(connect, { signal });
    }
    const { network } = await vm.info();
    if (reached.length > 0)
      return fail(name, `the guest reached ${[...new Set(reached)].join(", ")}`, REPORT);
    if (network.way !== predicted)
      return fail(name, `${network.way}, and ${predicted} was predicted`, REPORT);
    return pass(name, `${network.way}: a guest's root reached this machine by none of its addresses`);
  } catch (error) {
    if (signal?.aborted || !isSmolVMError(error)) throw error;
    return fail(name, error.message, error.hint);
  } finally {
    server.close();
    await vm?.delete({ force: true }).catch(() => {}); // the first failure is the one to tell
  }
}

/** Of ranges the first one. */
function ownAddresses(): string[] {
  const own = ownNetworks().map(({ address }) => formatIp(address));
  return [...new Set(own)].filter((address) => isIpv4(address) && !address.startsWith("127."));
}

/** On all addresses of this machine. Resolves to its port. */
function listening(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "0.0.0.0", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}
