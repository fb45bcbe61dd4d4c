import type { OpenRule } from "./open-rules.ts";

/**
 * The rules for the library that filters within QEMU (monitor/preload/public_only.rs), which has no more than a processor to
 * read them with: for each network and port `+AAAAAAAA/LL:PPPP` (accept) or `-...` (refuse), all in hexadecimal; port 0000
 * stands for all. `@` refuses what the kernel says is this machine's own. Pure.
 */
export function renderPreload(rules: readonly OpenRule[]): string {
  const entries = rules.flatMap(({ verdict, networks, ports }) =>
    networks === "own"
      ? ["@"]
      : (networks.length === 0 ? ["0.0.0.0/0"] : networks).flatMap((network) =>
          (ports.length === 0 ? [0] : ports).map(
            (port) => `${verdict === "accept" ? "+" : "-"}${networkHex(network)}:${hex(port, 4)}`,
          ),
        ),
  );
  return entries.join(" ");
}

function networkHex(network: string): string {
  const [address = "", bits = "32"] = network.split("/");
  return `${address.split(".").map(octet).join("")}/${hex(Number(bits), 2)}`;
}

function octet(part: string): string {
  return hex(Number(part), 2);
}

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, "0");
}
