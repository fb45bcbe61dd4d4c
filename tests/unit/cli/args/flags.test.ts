import { expect, test } from "vitest";
import { SANDBOX_OPTIONS } from "../../../../src/cli/args/options.ts";
import { parseArguments } from "../../../../src/cli/args/parse.ts";
import { sandboxConfig } from "../../../../src/cli/args/sandbox-config.ts";
import { inWordsOfFlags } from "../../../../src/cli/args/words.ts";
import { parseConfig } from "../../../../src/config/schema.ts";
import { type ErrorCode, SmolVMError } from "../../../../src/errors.ts";

function config(...words: string[]): unknown {
  return configWith(undefined, ...words);
}

function configWith(env: Record<string, string> | undefined, ...words: string[]): unknown {
  const args = parseArguments(
    {
      name: "create",
      usage: "",
      operands: { min: 0, max: 0, what: "" },
      options: SANDBOX_OPTIONS,
      exit: "plain",
      examples: [],
    },
    words,
  );
  return sandboxConfig(args, env);
}

/** What the user reads when the library refuses. */
function refusal(...words: string[]): string {
  try {
    parseConfig(config(...words));
  } catch (error) {
    return (inWordsOfFlags(error) as SmolVMError).message;
  }
  return "accepted";
}

test("flags become the library's options", () => {
  expect(
    configWith(
      { A: "1" },
      ...["--name", "box", "--backend", "qemu", "--image", "debian", "--arch", "x86_64", "--cpus", "2"],
      ...["--memory", "1G", "--disk", "10G", "--network", "off", "--hostname", "web-1", "-w", "/srv"],
      ...["-u", "nobody", "-l", "team=web", "-p", "8080:80", "--machine", "q35", "--accelerator", "tcg"],
      ...["--kernel", "/k", "--initrd", "/i", "--rootfs", "/r", "--disk-mode", "shared"],
      ...["--drive", "/a:b.img", "--drive", "/c.img:ro"],
    ),
  ).toEqual({
    name: "box",
    backend: "qemu",
    image: "debian",
    arch: "x86_64",
    vcpuCount: 2,
    memSizeMib: 1024,
    diskSizeMib: 10240,
    network: "off",
    env: { A: "1" },
    hostname: "web-1",
    workdir: "/srv",
    user: "nobody",
    labels: { team: "web" },
    ports: [{ guestPort: 80, hostPort: 8080 }],
    qemuMachine: "q35",
    accelerator: "tcg",
    kernelPath: "/k",
    initrdPath: "/i",
    rootfsPath: "/r",
    diskMode: "shared",
    extraDrives: [{ path: "/a:b.img" }, { path: "/c.img", readOnly: true }],
  });
});

test("what was not given is left to the library's defaults", () => {
  expect(config()).toEqual({});
});

test("files are taken from where the user stands", () => {
  expect(config("--kernel", "vmlinux")).toEqual({ kernelPath: `${process.cwd()}/vmlinux` });
});

test("the library's refusals speak of flags, with the units that were typed", () => {
  expect(refusal("--memory", "64M")).toMatchInlineSnapshot(`"--memory: 64M is less than 128M"`);
  expect(refusal("--cpus", "33")).toMatchInlineSnapshot(`"--cpus: 33 is more than 32"`);
  expect(refusal("--allow", "a.com", "--deny", "https://b.com")).toBe(
    "--deny: 'https://b.com' is a URL: a rule names the host alone, and the port behind a colon",
  );
  expect(refusal("--network", "off", "--network-rate-limit", "10")).toBe(
    "--network-rate-limit: 10 is for a network, and there is none",
  );
  expect(refusal("--network", "closed")).toMatchInlineSnapshot(
    `"--network: "closed" is not one of open, restricted, off"`,
  );
  expect(refusal("--machine", "pc")).toMatchInlineSnapshot(
    `"--machine: "pc" is not one of auto, microvm, q35"`,
  );
  expect(refusal("--workdir", "srv")).toMatchInlineSnapshot(`"--workdir: "srv" is not an absolute path"`);
  expect(refusal("--name", "My Box")).toMatchInlineSnapshot(
    `"--name: "My Box" is not a name: 1 to 64 of a-z, 0-9, - and _, beginning and ending with a letter or digit"`,
  );
});

test("every option of the command line has its name in refusals", () => {
  expect(refusal("--isolation", "strong")).toBe(`--isolation: "strong" is not one of auto, user, jail`);
  expect(refusal("--qemu-network", "bridge")).toBe(`--qemu-network: "bridge" is not one of slirp, tap`);
  expect(refusal("--network", "off", "--qemu-network", "tap")).toBe(
    `--qemu-network: "tap" is not for --network off: there is no network card then`,
  );
  expect(refusal("--disk-mode", "shared")).toMatch(/^--disk-mode: "shared" needs a --rootfs, the image/);
  expect(refusal("--pull", "often")).toBe(`--pull: "often" is not one of missing, always, never`);
  expect(refusal("--init", "systemd")).toBe(`--init: "systemd" is not one of image`);
  expect(refusal("--ttl", "500ms")).toBe("--ttl: 500ms is less than 1000ms");
});

test("a time to live may be longer than a limit on time", () => {
  expect(config("--ttl", "90d")).toEqual({ ttlMs: 90 * 86_400_000 });
});

test("any other error is left as it is", () => {
  const other = new SmolVMError("NO_SPACE", "full");
  expect(inWordsOfFlags(other)).toBe(other);
  expect(() => config("--cpus", "two")).toThrow("--cpus: 'two' is not a whole number");
});

test("hints speak of flags too", () => {
  const hint = (code: ErrorCode, text: string): string | undefined =>
    (inWordsOfFlags(new SmolVMError(code, "no", { hint: text })) as SmolVMError).hint;
  expect(hint("TIMEOUT", "Raise timeoutMs if the host is slow.")).toBe(
    "Raise --timeout if the host is slow.",
  );
  expect(hint("NOT_SUPPORTED", 'Use network: "off", or rootfsPath.')).toBe("Use --network off, or --rootfs.");
  expect(hint("CONFIG_INVALID", "Give cwd a path.")).toBe("Give --workdir a path.");
  const path = new SmolVMError("FILE_NOT_FOUND", "cannot change to the directory '/srv/cwd'");
  expect(inWordsOfFlags(path)).toBe(path);
  expect(hint("BACKEND_UNAVAILABLE", 'Use accelerator "auto".')).toBe("Use --accelerator auto.");
  expect(hint("IMAGE_NOT_FOUND", "Build the image: smolvm image build")).toBe(
    "Build the image: smolvm image build",
  );
});
