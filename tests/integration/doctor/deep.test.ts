import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { cliJson, Terminal } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

const home = useTempHome();

// biome-ignore lint/suspicious/noExplicitAny: a check of the report
const named = (report: { data: any }, name: string): any =>
  report.data.checks.find((check: { name: string }) => check.name === name);

describe("doctor --deep", () => {
  test("boots a sandbox, finds what was predicted, and leaves nothing", async () => {
    const report = await cliJson(["doctor", "--deep", "--backend", "qemu"]);
    expect(named(report, "Boot")).toMatchObject({
      status: "pass",
      detail: expect.stringMatching(/^first checked output after \d+\.\d s$/),
    });
    const predicted = named(report, "Accelerator").detail.split(" ")[0];
    expect(named(report, "Backend used")).toMatchObject({ status: "pass", detail: "qemu" });
    expect(named(report, "Accelerator used").detail.split(" ")[0]).toBe(predicted);
    expect(named(report, "Speed measured")).toMatchObject({ status: "pass" });
    expect(named(report, "Isolation proven")).toMatchObject({
      status: "pass",
      detail: expect.stringContaining("a kernel of its own, no network card, a seccomp filter on the VMM"),
    });
    expect(named(report, "Removal")).toMatchObject({ status: "pass" });
    expect(named(report, "Network proven")).toMatchObject({
      status: "pass",
      detail: expect.stringMatching(/^(namespace|door): a guest's root reached this machine by none/),
    });
    expect(report.code).toBe(0);
  });

  test("a machine that is not what was predicted fails", async () => {
    // It says that it can have a filter, and runs without: real QEMU behind a script that takes the option away.
    const liar = join(home, "liar");
    writeFileSync(
      liar,
      `#!/bin/bash
case " $* " in *" -M none "*) exec qemu-system-x86_64 "$@" ;; esac
words=()
while [ $# -gt 0 ]; do if [ "$1" = -sandbox ]; then shift; else words+=("$1"); fi; shift; done
exec qemu-system-x86_64 "\${words[@]}"
`,
      { mode: 0o755 },
    );
    const report = await cliJson(["doctor", "--deep", "--backend", "qemu"], { env: { SMOLVM_QEMU: liar } });
    expect(named(report, "Isolation proven")).toMatchObject({
      status: "fail",
      detail: "its VMM has no seccomp filter",
    });
    expect(report.code).toBe(1);
  });

  test("without an image says how to get one, and with a broken QEMU does not try", async () => {
    const empty = join(home, "cache");
    mkdirSync(empty);
    const without = await cliJson(["doctor", "--deep"], { env: { XDG_CACHE_HOME: empty } });
    expect(named(without, "Boot")).toMatchObject({
      status: "fail",
      fix: "Build it: smolvm image build debian",
    });
    const broken = await cliJson(["doctor", "--deep"], { env: { SMOLVM_QEMU: "/nowhere" } });
    expect(named(broken, "Boot")).toMatchObject({ status: "fail", detail: "not tried: no backend can run" });
  });

  test("is ended by Ctrl-C, and leaves nothing", async () => {
    const terminal = Terminal.cli(["doctor", "--deep"]);
    await terminal.shows("booting a sandbox");
    terminal.type("\u0003");
    expect(await terminal.ended).toBe(130);
  });
});
