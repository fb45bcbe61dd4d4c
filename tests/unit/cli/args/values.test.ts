import { describe, expect, test } from "vitest";
import { parseDurationMs } from "../../../../src/cli/args/duration.ts";
import { parseEnv, parseLabels } from "../../../../src/cli/args/pairs.ts";
import {
  parseBrings,
  parsePort,
  parsePortForward,
  parsePortForwards,
} from "../../../../src/cli/args/port.ts";
import { parseSizeMib } from "../../../../src/cli/args/size.ts";
import { SmolVMError } from "../../../../src/errors.ts";

function refusal(act: () => unknown): string {
  try {
    return `accepted: ${JSON.stringify(act())}`;
  } catch (error) {
    if (error instanceof SmolVMError && error.code === "USAGE") return `${error.message} | ${error.hint}`;
    throw error;
  }
}

describe("sizes", () => {
  test.each([
    ["512M", 512],
    ["512m", 512],
    ["512MB", 512],
    ["512MiB", 512],
    ["2G", 2048],
    ["1.5g", 1536],
    ["1T", 1048576],
  ])("%s is %i MiB", (text, mib) => {
    expect(parseSizeMib("--memory", text)).toBe(mib);
  });

  test.each([
    ["512", `--memory: '512' has no unit | Say which you mean: --memory 512M or --memory 512G`],
    ["512K", `--memory: '512K' is not a size | Write a number with M or G: --memory 512M`],
    ["-1M", `--memory: '-1M' is not a size | Write a number with M or G: --memory 512M`],
    ["", `--memory: '' is not a size | Write a number with M or G: --memory 512M`],
    ["0M", `--memory: '0M' is not a whole number of MiB | Write a number with M or G: --memory 512M`],
    ["0.3M", `--memory: '0.3M' is not a whole number of MiB | Write a number with M or G: --memory 512M`],
  ])("%j is refused", (text, message) => {
    expect(refusal(() => parseSizeMib("--memory", text))).toBe(message);
  });
});

describe("times", () => {
  test.each([
    ["500ms", 500],
    ["2s", 2000],
    ["0.5s", 500],
    ["1m30s", 90_000],
    ["2H", 7_200_000],
    ["1d", 86_400_000],
  ])("%s is %i ms", (text, ms) => {
    expect(parseDurationMs("--timeout", text)).toBe(ms);
  });

  test.each([
    ["2", `--timeout: '2' has no unit | Say which you mean: --timeout 2s or --timeout 2ms`],
    ["2 s", `--timeout: '2 s' is not a time | Write a number with ms, s, m, h or d: --timeout 2s`],
    ["soon", `--timeout: 'soon' is not a time | Write a number with ms, s, m, h or d: --timeout 2s`],
    ["0s", `--timeout: '0s' is no time at all | Write a number with ms, s, m, h or d: --timeout 2s`],
    ["99d", `--timeout: '99d' is too long | The most is 24 days: --timeout 24d`],
  ])("%j is refused", (text, message) => {
    expect(refusal(() => parseDurationMs("--timeout", text))).toBe(message);
  });
});

describe("ports", () => {
  test.each([
    ["80", { guestPort: 80 }],
    ["8080:80", { guestPort: 80, hostPort: 8080 }],
    ["0.0.0.0:8080:80", { guestPort: 80, hostPort: 8080, hostAddress: "0.0.0.0" }],
    ["127.0.0.1::80", { guestPort: 80, hostAddress: "127.0.0.1" }],
    ["[::1]:8080:80", { guestPort: 80, hostPort: 8080, hostAddress: "::1" }],
    ["[fe80::1%eth0]:8080:80", { guestPort: 80, hostPort: 8080, hostAddress: "fe80::1%eth0" }],
    ["8080:80/tcp", { guestPort: 80, hostPort: 8080 }],
  ])("-p %s is %j", (text, forward) => {
    expect(parsePortForward(text)).toEqual(forward);
  });

  test.each([
    ["", `-p '': '' is not a port | A port is a number from 1 to 65535.`],
    ["80:", `-p '80:': '' is not a port | A port is a number from 1 to 65535.`],
    ["0:80", `-p '0:80': '0' is not a port | A port is a number from 1 to 65535.`],
    ["80:65536", `-p '80:65536': '65536' is not a port | A port is a number from 1 to 65535.`],
    ["8080:80/udp", "-p '8080:80/udp': 'udp' is not forwarded | TCP alone is. Leave the protocol out."],
    [
      "::1:80:80",
      "-p: '::1:80:80' is not a port forward | Write -p HOST:GUEST, for example -p 8080:80; an IPv6 address stands in brackets: -p [::1]:8080:80",
    ],
    [
      "localhost:80:80",
      "-p 'localhost:80:80': 'localhost' is not an IP address | 127.0.0.1 is this machine alone, 0.0.0.0 each IPv4 address that it has, [::] each address.",
    ],
    [
      "1.2.3:80:80",
      "-p '1.2.3:80:80': '1.2.3' is not an IP address | 127.0.0.1 is this machine alone, 0.0.0.0 each IPv4 address that it has, [::] each address.",
    ],
    [
      "[]:80:80",
      "-p '[]:80:80': '[]' is not an IP address | 127.0.0.1 is this machine alone, 0.0.0.0 each IPv4 address that it has, [::] each address.",
    ],
  ])("-p %j is refused", (text, message) => {
    expect(refusal(() => parsePortForward(text))).toBe(message);
  });

  test("no port of an address of the host may be used twice, and no forward be another's twin", () => {
    expect(refusal(() => parsePortForwards(["80", "8080:80"]))).toBe(
      "-p 80 and -p 8080:80 both forward guest port 80 | Give each a host port of its own.",
    );
    expect(refusal(() => parsePortForwards(["1:80", "127.0.0.1:1:81"]))).toBe(
      "-p 1:80 and -p 127.0.0.1:1:81 both use host port 1 | Give each host port once.",
    );
    expect(parsePortForwards(["80", "81"])).toHaveLength(2);
    expect(parsePortForwards(["1:80", "2:80", "127.0.0.2:1:80", "[::1]:1:81"])).toHaveLength(4);
  });

  test("a single port names what was typed", () => {
    expect(refusal(() => parsePort("--host-port", "http"))).toBe(
      "--host-port: 'http' is not a port | A port is a number from 1 to 65535.",
    );
  });
});

describe("environment", () => {
  test("K=V is taken as it is, K from the caller, the last of a name wins", () => {
    const { env, unset } = parseEnv(["A=1", "B=x=y", "HOME", "NOPE", "A=", "EMPTY"], {
      HOME: "/home/me",
      EMPTY: "",
    });
    expect(env).toEqual({ A: "", B: "x=y", HOME: "/home/me", EMPTY: "" });
    expect(unset).toEqual(["NOPE"]);
  });

  test.each(["=x", ""])("%j has no name", (text) => {
    expect(refusal(() => parseEnv([text], {}))).toBe(`--env: '${text}' has no name | Write --env NAME=VALUE`);
  });
});

describe("labels", () => {
  test("are names with values, each once", () => {
    expect(parseLabels(["a=1", "b=x=y", "c="])).toEqual({ a: "1", b: "x=y", c: "" });
    expect(refusal(() => parseLabels(["a"]))).toBe("--label: 'a' is not NAME=VALUE | Write --label team=web");
    expect(refusal(() => parseLabels(["a=1", "a=2"]))).toBe(
      "--label: 'a' is given twice | Give each label once.",
    );
  });
});

describe("ports that are brought", () => {
  test.each([
    ["8080:11434", 8080, undefined, 11434],
    ["8080:127.0.0.1:11434", 8080, "127.0.0.1", 11434],
    ["80:model.lan:1", 80, "model.lan", 1],
    ["80:[::1]:1", 80, "::1", 1],
  ])("%s", (text, guestPort, host, port) => {
    expect(parseBrings([text])).toEqual([
      { guestPort, target: host === undefined ? { port } : { host, port } },
    ]);
  });

  test.each([
    "8080",
    "8080:",
    ":1:2",
    "0:1",
    "1:0",
    "1:a:b",
    "1:::1:2",
    "70000:1",
    "1:a b:2",
    "1:/a:2",
    "1:-a:2",
    "1:[a]:2",
  ])("'%s' is none", (text) => {
    expect(() => parseBrings([text])).toThrow(/-R/);
  });

  test("one port of the sandbox leads to one place", () => {
    expect(refusal(() => parseBrings(["80:1", "81:1", "80:b:2"]))).toBe(
      "-R 80:1 and -R 80:b:2 both use guest port 80 | Give each port of the sandbox once.",
    );
  });
});
