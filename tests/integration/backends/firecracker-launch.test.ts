import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { firecrackerBackend } from "../../../src/backends/firecracker/backend.ts";
import { firecrackerCandidate } from "../../../src/backends/firecracker/candidate.ts";
import { probeFirecracker } from "../../../src/backends/firecracker/probe.ts";
import type { MachineSpec } from "../../../src/config/spec.ts";
import { readEnvironment } from "../../../src/host/environment.ts";
import { type VmFiles, vmFiles } from "../../../src/host/files/filenames.ts";
import { isAlive, signalProcess } from "../../../src/host/process/process-identity.ts";
import { NO_ENCLOSURE } from "../../../src/isolation/enclosure.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { processesNaming } from "../../helpers/home.ts";
import { until } from "../../helpers/wait.ts";

const FAKE = join(import.meta.dirname, "../../helpers/fake-firecracker.ts");
const soon = (timeoutMs = 20_000): Deadline => Deadline.of("the test", { timeoutMs });

const SPEC: MachineSpec = {
  backend: "firecracker",
  arch: "x86_64",
  machine: "firecracker",
  accelerator: "kvm",
  vcpuCount: 1,
  memSizeMib: 128,
  kernelPath: "/k",
  initrdPath: "/i",
  bootArgs: "",
  disks: [],
  network: "off",
  sessionPorts: 4,
};

let dir: string;
let files: VmFiles;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "smfc-"));
  files = vmFiles(dir, join(dir, "run"), "0123456789ab");
  mkdirSync(files.dir, { recursive: true });
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** A program that is called as Firecracker is. */
function program(script: string): string {
  const path = join(dir, "firecracker");
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

const hostWith = (path: string) => ({
  cacheDir: dir,
  env: readEnvironment({ SMOLVM_FIRECRACKER: path, PATH: process.env.PATH }),
});
const launch = (path: string, deadline = soon()) =>
  firecrackerBackend(hostWith(path)).launch(SPEC, files, {
    deadline,
    lifetime: "owner",
    enclosure: NO_ENCLOSURE,
  });
const nothingLeft = () => until("no process is left", () => processesNaming(dir).length === 0);

describe("launching Firecracker", () => {
  test("asks for all that the machine is, then for its start, and keeps what it prints as the console", async () => {
    const { vmm } = await launch(program(`exec '${process.execPath}' '${FAKE}' "$@"`));
    expect(isAlive(vmm)).toBe(true);
    await until("the last request is in the console", () =>
      readFileSync(files.console, "utf8").includes("/actions"),
    );
    expect(readFileSync(files.console, "utf8").trim().split("\n")).toEqual([
      "PUT /machine-config",
      "PUT /boot-source",
      "PUT /vsock",
      "PUT /actions",
    ]);
    signalProcess(vmm, "SIGTERM");
    await nothingLeft();
  });

  test("that refuses something is an error in its words, and leaves no process", async () => {
    const path = program(
      `FAKE_FIRECRACKER_REFUSES=/machine-config exec '${process.execPath}' '${FAKE}' "$@"`,
    );
    await expect(launch(path)).rejects.toMatchObject({
      code: "VMM_FAILED",
      message: "Firecracker refused the machine's CPUs and memory: The vCPU number is invalid!",
    });
    await nothingLeft();
  });

  test("that ends at once is an error with what it said, at once", async () => {
    await expect(launch(program("echo it is broken >&2; exit 3"))).rejects.toMatchObject({
      code: "VMM_FAILED",
      message: expect.stringMatching(/^firecracker exited with 3 after \d+ ms: it is broken$/),
    });
    await nothingLeft();
  });

  test("that never opens its API is given up at the deadline, and killed", async () => {
    await expect(launch(program("exec sleep 600"), soon(1_500))).rejects.toMatchObject({ code: "TIMEOUT" });
    await nothingLeft();
  });

  test("that opens its API and never answers is given up at the deadline, and killed", async () => {
    const path = program(`FAKE_FIRECRACKER_IGNORES=/boot-source exec '${process.execPath}' '${FAKE}' "$@"`);
    await expect(launch(path, soon(5_000))).rejects.toMatchObject({ code: "TIMEOUT" });
    expect(readFileSync(files.console, "utf8")).toContain("/boot-source");
    await nothingLeft();
  });

  test("that is not where SMOLVM_FIRECRACKER says is told with that, and the way out", async () => {
    const path = join(dir, "nothing");
    await expect(launch(path)).rejects.toMatchObject({
      code: "DEPENDENCY_MISSING",
      hint: `SMOLVM_FIRECRACKER is '${path}', which is no such program. Correct it, or: unset SMOLVM_FIRECRACKER`,
    });
  });
});

describe("a Firecracker's version", () => {
  test("is asked for once, as long as the program stays the same", async () => {
    const count = join(dir, "count");
    const path = program(`echo . >>'${count}'; echo 'Firecracker v1.16.2'`);
    expect(await probeFirecracker(path, dir)).toBe("1.16.2");
    expect(await probeFirecracker(path, dir)).toBe("1.16.2");
    expect(readFileSync(count, "utf8")).toBe(".\n");
  });

  test("that a program does not say is an error with the command to see why", async () => {
    const path = program("echo 'something else'");
    await expect(probeFirecracker(path, dir)).rejects.toMatchObject({
      code: "BACKEND_UNAVAILABLE",
      hint: `See what it says: ${path} --version`,
    });
  });

  test("does not matter where there is no Linux", async () => {
    expect(await firecrackerCandidate(undefined, hostWith("/nothing"), "darwin")).toMatchObject({
      usable: false,
    });
  });
});
