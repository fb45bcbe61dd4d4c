import { describe, expect, test } from "vitest";
import { parseConfig } from "../../../src/config/schema.ts";
import type { SmolVMError } from "../../../src/errors.ts";

function refusal(options: unknown): { code: string; message: string; hint: string | undefined } {
  try {
    parseConfig(options);
  } catch (error) {
    const { code, message, hint } = error as SmolVMError;
    return { code, message, hint };
  }
  throw new Error(`accepted: ${JSON.stringify(options)}`);
}

describe("options", () => {
  test("nothing at all is acceptable", () => {
    expect(parseConfig()).toEqual({});
    expect(parseConfig({ image: undefined })).toEqual({ image: undefined });
  });

  test.each([
    [{ vcpuCount: 0 }, "vcpuCount: 0 is less than 1"],
    [{ vcpuCount: 33 }, "vcpuCount: 33 is more than 32"],
    [{ vcpuCount: 1.5 }, "vcpuCount: 1.5 is not a whole number"],
    [{ memSizeMib: 127 }, "memSizeMib: 127 is less than 128"],
    [{ memSizeMib: 16385 }, "memSizeMib: 16385 is more than 16384"],
    [
      { name: "A" },
      'name: "A" is not a name: 1 to 64 of a-z, 0-9, - and _, beginning and ending with a letter or digit',
    ],
    [{ workdir: "work" }, 'workdir: "work" is not an absolute path'],
    [{ kernelPath: "vmlinux" }, 'kernelPath: "vmlinux" is not an absolute path'],
    [{ arch: "arm" }, 'arch: "arm" is not one of x86_64, aarch64'],
    [{ network: "closed" }, 'network: "closed" is not one of open, restricted, off'],
    [{ env: { "A=B": "x" } }, "env: [\"A=B\"] has the name 'A=B', which holds a '='"],
    [{ env: { A: 1 } }, "env: [\"A\"] has 'A', whose value is not a string"],
    [{ env: { A: "x\0" } }, "env: [\"A\"] has 'A', whose value contains a NUL character"],
    [{ bootArgs: "a\nb" }, 'bootArgs: "a\\nb" is more than one line'],
    [
      { ports: [{ guestPort: 80, hostAddress: "localhost" }] },
      'ports: [{"guestPort":80,"hostAddress":"localhost"}] has an entry whose host address is no IP address',
    ],
    [{ ports: [{ guestPort: 0 }] }, 'ports: [{"guestPort":0}] has a port that is less than 1'],
    [
      { ports: [{ guestPort: 80 }, { guestPort: 80 }] },
      'ports: [{"guestPort":80},{"guestPort":80}] forwards guest port 80 twice',
    ],
    [
      {
        ports: [
          { guestPort: 80, hostPort: 8080 },
          { guestPort: 81, hostPort: 8080 },
        ],
      },
      'ports: [{"guestPort":80,"hostPort":8080},{"guestPort":81,"hostPort":8080}] uses host port 8080 twice',
    ],
    [
      { network: { mode: "off" }, qemuNetwork: "tap" },
      'qemuNetwork: "tap" is not for network "off": there is no network card then',
    ],
    ["debian", 'options: "debian" is not an object'],
  ])("%j is refused in the user's words", (options, message) => {
    expect(refusal(options)).toMatchObject({ code: "CONFIG_INVALID", message });
  });

  test("an unknown option is refused with the nearest known one", () => {
    expect(refusal({ memorySizeMib: 512 })).toEqual({
      code: "CONFIG_INVALID",
      message: "unknown option 'memorySizeMib'",
      hint: "Did you mean 'memSizeMib'?",
    });
    expect(refusal({ zzzzzzzzzz: 1 }).hint).toMatch(/^Known options: name, backend, /);
    expect(refusal({ constructor: 1 }).code).toBe("CONFIG_INVALID");
  });

  test.each([["os"]])("%s, which a later version brings, is refused and not ignored", (option) => {
    expect(refusal({ [option]: "x" })).toMatchObject({ code: "NOT_SUPPORTED" });
  });

  test.each([
    ["restricted"],
    [{ mode: "restricted" }],
    [{ mode: "restricted", allow: ["a.example", "*.b.example:443"], deny: ["10.0.0.0/8"] }],
  ])("the network %j is accepted", (network) => {
    expect(parseConfig({ network })).toEqual({ network });
  });

  test.each([
    [{ mode: "open", allow: ["a.example"] }, "CONFIG_INVALID"],
    [{ mode: "off", deny: [] }, "CONFIG_INVALID"],
    [{ mode: "restricted", allow: "a.example" }, "CONFIG_INVALID"],
    [{ mode: "restricted", allow: ["http://a.example"] }, "CONFIG_INVALID"],
    [{ mode: "restricted", deny: ["10.0.0.1/8"] }, "CONFIG_INVALID"],
    [{ mode: "restricted", block: [] }, "CONFIG_INVALID"],
    [{ mode: "restricted", secrets: {} }, "NOT_SUPPORTED"],
    [{ mode: "restricted", tls: {} }, "NOT_SUPPORTED"],
    [{ mode: "restricted", headers: {} }, "NOT_SUPPORTED"],
  ])("the network %j is refused and not ignored", (network, code) => {
    expect(refusal({ network }).code).toBe(code);
  });

  test("a limit of the rate is for a network that can keep it", () => {
    for (const network of ["restricted", "open", undefined])
      expect(parseConfig({ network, networkRateLimitMbps: 10 })).toMatchObject({ networkRateLimitMbps: 10 });
    for (const network of ["off", { mode: "open", unfiltered: true }])
      expect(refusal({ network, networkRateLimitMbps: 10 }).code).toBe("CONFIG_INVALID");
    expect(refusal({ network: "restricted", networkRateLimitMbps: 0 }).code).toBe("CONFIG_INVALID");
  });

  test("a restricted network has no card that could be chosen", () => {
    expect(refusal({ network: { mode: "restricted" }, qemuNetwork: "tap" }).code).toBe("CONFIG_INVALID");
  });

  test.each([["a"], ["a-b"], ["a".repeat(64)], ["0_0"]])("the name %s is accepted", (name) => {
    expect(parseConfig({ name })).toEqual({ name });
  });

  test.each([[""], ["-a"], ["a-"], ["a".repeat(65)], ["a b"], ["../x"], [7]])(
    "the name %j is refused",
    (name) => {
      expect(refusal({ name }).code).toBe("CONFIG_INVALID");
    },
  );
});

test("a choice of kernel and a kernel of one's own exclude each other", () => {
  expect(parseConfig({ kernel: "debian" })).toEqual({ kernel: "debian" });
  expect(() => parseConfig({ kernel: "newest" })).toThrow("auto, debian, fast");
  expect(() => parseConfig({ kernel: "fast", kernelPath: "/vmlinux" })).toThrow("excludes kernelPath");
});

describe("drives", () => {
  test("are absolute paths, read-only or not", () => {
    const config = { extraDrives: [{ path: "/a.img" }, { path: "/b.img", readOnly: true }] };
    expect(parseConfig(config)).toEqual(config);
  });

  test.each([
    ["not in an array", "/a.img"],
    ["no objects", ["/a.img"]],
    ["relative", [{ path: "a.img" }]],
    ["with an unknown key", [{ path: "/a.img", format: "qcow2" }]],
    ["read-only by halves", [{ path: "/a.img", readOnly: "yes" }]],
    ["nine", Array.from({ length: 9 }, (_, n) => ({ path: `/${n}.img` }))],
  ])("that are %s are refused", (_what, extraDrives) => {
    expect(refusal({ extraDrives }).code).toBe("CONFIG_INVALID");
  });
});

test("a root that is written itself is the user's own, and as large as it is", () => {
  const shared = { diskMode: "shared", rootfsPath: "/root.img" } as const;
  expect(parseConfig(shared)).toEqual(shared);
  expect(() => parseConfig({ diskMode: "shared" })).toThrow("needs a rootfsPath");
  expect(() => parseConfig({ ...shared, diskSizeMib: 1024 })).toThrow("rootfsPath is the disk");
  expect(() => parseConfig({ diskMode: "mine" })).toThrow("isolated, shared");
});
