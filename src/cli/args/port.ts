import type { BringTarget } from "../../agent/door/bring.ts";
import type { PortForward } from "../../config/options.ts";
import { SmolVMError } from "../../errors.ts";

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
 * Reads one `-p`: `GUEST`, `HOST:GUEST`, `ADDRESS:HOST:GUEST` or `ADDRESS::GUEST` (any free host port);
 * an IPv6 address stands in brackets. Pure.
 * @throws SmolVMError USAGE
 */
export function parsePortForward(text: string): PortForward {
  const match = /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?([^:]*):)?([^:]*)$/.exec(text);
  if (!match) {
    throw new SmolVMError("USAGE", `-p: '${text}' is not a port forward`, {
      hint: "Write -p HOST:GUEST, for example -p 8080:80",
    });
  }
  const [, address, host, guest] = match;
  const forward: PortForward = { guestPort: parsePort(`-p '${text}'`, guest!) };
  if (host) forward.hostPort = parsePort(`-p '${text}'`, host);
  if (address) forward.hostAddress = address.replace(/^\[|\]$/g, "");
  return forward;
}

/**
 * Reads all `-p` of one command line, none of which may use a port twice. Pure.
 * @throws SmolVMError USAGE
 */
export function parsePortForwards(texts: readonly string[]): PortForward[] {
  const forwards = texts.map(parsePortForward);
  for (const key of ["guestPort", "hostPort"] as const) {
    const seen = new Map<number, string>();
    forwards.forEach((forward, i) => {
      const port = forward[key];
      if (port === undefined) return;
      const other = seen.get(port);
      if (other !== undefined) {
        const which = key === "guestPort" ? "guest" : "host";
        throw new SmolVMError("USAGE", `-p ${other} and -p ${texts[i]} both use ${which} port ${port}`, {
          hint: `Give each ${which} port once.`,
        });
      }
      seen.set(port, texts[i]!);
    });
  }
  return forwards;
}

/** One `-R`. */
export interface Bring {
  readonly guestPort: number;
  readonly target: BringTarget;
}

/**
 * Reads one `-R`: `GUEST:PORT` (of this machine's 127.0.0.1) or `GUEST:HOST:PORT`; an IPv6 address stands in brackets. Pure.
 * @throws SmolVMError USAGE
 */
export function parseBring(text: string): Bring {
  const [, guest, host, port] = /^(\d+):(?:(\[[^\]]+\]|[^:[\]]+):)?(\d+)$/.exec(text) ?? [];
  if (guest === undefined || port === undefined) {
    throw new SmolVMError("USAGE", `-R: '${text}' is not a port of the sandbox and where it leads`, {
      hint: "Write -R GUEST:HOST:PORT, for example -R 8080:127.0.0.1:11434",
    });
  }
  const to = parsePort(`-R '${text}'`, port);
  return {
    guestPort: parsePort(`-R '${text}'`, guest),
    target: host === undefined ? { port: to } : { host: host.replace(/^\[|\]$/g, ""), port: to },
  };
}
