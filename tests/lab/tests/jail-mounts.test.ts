import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runProgram } from "../../../src/host/process/run.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { BACKENDS } from "../../helpers/backends.ts";
import { CLI } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { openKvmTo } from "../../helpers/kvm-group.ts";
import { IN_MOUNT_NAMESPACE } from "../../helpers/mount-namespace.ts";
import { scaled } from "../../helpers/speed.ts";

const home = useTempHome();

/** Creates two sandboxes with their data on a mount with such options, and tells what came of it. */
const SCRIPT = `
data=$1 options=$2; shift 2
mount -t tmpfs -o "$options" data "$data" || exit 1
small="--backend firecracker --image minimal --network off --memory 256M --json"
"$@" create --start --isolation jail $small --name jail
"$@" create --start $small --name auto
"$@" info --json auto
"$@" doctor --backend firecracker --json
"$@" rm --all -f >/dev/null
`;

/** What `create` said of a sandbox that was to be jailed, and `info` of one that was not, and doctor. */
async function withDataOn(option: string, data: string) {
  mkdirSync(data, { recursive: true });
  const argv = [...IN_MOUNT_NAMESPACE, "sh", "-c", SCRIPT, "sh", data, option, ...CLI];
  const deadline = Deadline.of("two sandboxes", { timeoutMs: scaled(60_000) });
  const { stdout } = await runProgram(argv, { deadline, check: false });
  const [jail, created, auto, doctor] = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(created.error).toBeNull();
  // biome-ignore lint/suspicious/noExplicitAny: a check of the report
  const check = doctor.data.checks.find(({ name }: any) => name === "Isolation");
  return { jail, auto, check };
}

describe.runIf(BACKENDS.includes("firecracker"))("with data on a mount", () => {
  const data = join(home, "data");

  test.each([
    ["nodev", "dev"],
    ["noexec", "exec"],
  ])("that is %s no Firecracker is jailed, which is known before it boots", async (option, remedy) => {
    openKvmTo("group");
    const { jail, auto, check } = await withDataOn(option, data);
    expect(jail.error).toMatchObject({
      code: "ISOLATION_UNAVAILABLE",
      message: expect.stringContaining(`'${data}' is mounted ${option}`),
      hint: expect.stringContaining(`mount -o remount,${remedy} '${data}'`),
    });
    expect(auto.data).toMatchObject({
      state: "running",
      isolation: { tier: "user", whyNotNext: expect.stringContaining(`mounted ${option}`) },
    });
    expect(auto.data.isolation.uid).toBeGreaterThan(0);
    expect(check.detail).toMatch(new RegExp(`^user: .*mounted ${option}`));
  });

  test("that is nodev, and a KVM for root alone, its VMM has no uid of its own: it could not open it", async () => {
    openKvmTo("root");
    const { auto } = await withDataOn("nodev", data);
    expect(auto.data).toMatchObject({
      state: "running",
      isolation: { tier: "user", whyNotNext: expect.stringContaining("/dev/kvm is open to root alone") },
    });
    expect(auto.data.isolation.uid).toBeUndefined();
  });
});
