import type { BringTarget } from "../../agent/door/bring.ts";
import type { PortForward } from "../../config/options.ts";
import { SmolVMError } from "../../errors.ts";
import { mayBeHost } from "../../util/host-name.ts";
import { isListenAddress } from "../../util/ip-address.ts";
import { portClash } from "../../util/port-clash.ts";

/**
 * Reads a TCP port number. Pure.
 * @throws SmolVMError USAGE
 */
export function parsePort(option: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port >= 1 && port <= 65535) return port;
  throw new SmolVMError("USAGE", `${option}: '${text}' is not a port`, {
    hint: "A port is a number from 1 to 65535.",
  });
}

/**
 * Reads an address of this machine to listen on. Pure.
 * @throws SmolVMError USAGE
 */
export function parseHostAddress(option: string, text: string): string {
  const address = text.replace(/^\[(.*)\]$/, "$1");
  if (isListenAddress(address)) return address;
  throw new SmolVMError("USAGE", `${option}: '${text}' is not an IP address`, {
    hint: "127.0.0.1 is this machine alone, 0.0.0.0 each IPv4 address that it has, [::] each address.",
  });
}

/**
 * Reads one `-p`: `GUEST`, `HOST:GUEST`, `ADDRESS:HOST:GUEST` or `ADDRESS::GUEST` (any free host port), each with `/tcp` behind it or without;
 * an IPv6 address stands in brackets. Pure.
 * @throws SmolVMError USAGE
 */
export function parsePortForward(text: string): PortForward {
  const [, ports, protocol = "tcp"] = /^(.*?)(?:\/([a-z]*))?$/.exec(text) ?? [];
  const match = /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?([^:]*):)?([^:]*)$/.exec(ports ?? "");
  if (!match) {
    throw new SmolVMError("USAGE", `-p: '${text}' is not a port forward`, {
      hint: "Write -p HOST:GUEST, for example -p 8080:80; an IPv6 address stands in brackets: -p [::1]:8080:80",
    });
  }
  if (protocol !== "tcp") {
    throw new SmolVMError("USAGE", `-p '${text}': '${protocol}' is not forwarded`, {
      hint: "TCP alone is. Leave the protocol out.",
    });
  }
  const [, address, host, guest] = match;
  const forward: PortForward = { guestPort: parsePort(`-p '${text}'`, guest!) };
  if (host) forward.hostPort = parsePort(`-p '${text}'`, host);
  if (address) forward.hostAddress = parseHostAddress(`-p '${text}'`, address);
  return forward;
}

/**
 * Reads all `-p` of one command line: none may be at the place of another on this machine. Pure.
 * @throws SmolVMError USAGE
 */
export function parsePortForwards(texts: readonly string[]): PortForward[] {
  const forwards = texts.map(parsePortForward);
  const clash = portClash(forwards);
  if (clash === undefined) return forwards;
  const [one, other] = clash.at.map((at) => texts[at]);
  throw clash.of === "host"
    ? new SmolVMError(
        "USAGE",
        `-p ${one} and -p ${other} both use host port ${forwards[clash.at[1]]!.hostPort}`,
        {
          hint: "Give each host port once.",
        },
      )
    : new SmolVMError(
        "USAGE",
        `-p ${one} and -p ${other} both forward guest port ${forwards[clash.at[1]]!.guestPort}`,
        {
          hint: "Give each a host port of its own.",
        },
      );
}

/** One `-R`. */
export interface Bring {
  readonly guestPort: number;
  readonly target: BringTarget;
}

/**
 * Reads all `-R` of one command line. Pure.
 * @throws SmolVMError USAGE
 */
export function parseBrings(texts: readonly string[]): Bring[] {
  const brings = texts.map(parseBring);
  for (const [at, { guestPort }] of brings.entries()) {
    const first = brings.findIndex((other) => other.guestPort === guestPort);
    if (first < at)
      throw new SmolVMError(
        "USAGE",
        `-R ${texts[first]} and -R ${texts[at]} both use guest port ${guestPort}`,
        {
          hint: "Give each port of the sandbox once.",
        },
      );
  }
  return brings;
}

/**
 * Reads one `-R`: `GUEST:PORT` (of this machine's 127.0.0.1) or `GUEST:HOST:PORT`; an IPv6 address stands in brackets. Pure.
 * @throws SmolVMError USAGE
 */
function parseBring(text: string): Bring {
  const [, guest, host, port] = /^(\d+):(?:(\[[^\]]+\]|[^:[\]]+):)?(\d+)$/.exec(text) ?? [];
  if (guest === undefined || port === undefined) {
    throw new SmolVMError("USAGE", `-R: '${text}' is not a port of the sandbox and where it leads`, {
      hint: "Write -R GUEST:HOST:PORT, for example -R 8080:127.0.0.1:11434",
    });
  }
  const to = parsePort(`-R '${text}'`, port);
  const guestPort = parsePort(`-R '${text}'`, guest);
  if (host === undefined) return { guestPort, target: { port: to } };
  const named = host.replace(/^\[(.*:.*)\]$/, "$1");
  if (mayBeHost(named)) return { guestPort, target: { host: named, port: to } };
  throw new SmolVMError("USAGE", `-R '${text}': '${host}' is neither a name nor an address`, {
    hint: "Write -R GUEST:HOST:PORT, for example -R 8080:127.0.0.1:11434; an IPv6 address stands in brackets: -R 8080:[::1]:11434",
  });
}
