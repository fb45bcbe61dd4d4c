import { readFileSync } from "node:fs";
import type { SmolVM } from "../src/index.ts";

/** The socket of one channel port of a running sandbox, read from its machine's own command line. */
export async function channelSocket(vm: SmolVM, port: number): Promise<string> {
  const { pid } = await vm.info();
  return socketInArgv(readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0"), port);
}

/** The same from an argv. */
export function socketInArgv(argv: readonly string[], port: number): string {
  for (const argument of argv) {
    const path = new RegExp(`^socket,id=channel${port},path=([^,]*)`).exec(argument)?.[1];
    if (path !== undefined) return path;
  }
  throw new Error(`this machine has no channel ${port}`);
}
