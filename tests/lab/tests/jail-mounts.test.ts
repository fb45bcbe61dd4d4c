import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { runProgram } from "../../../src/host/run.ts";
import { Deadline } from "../../../src/util/deadline.ts";
import { BACKENDS } from "../../helpers/backends.ts";
import { CLI } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";
import { IN_MOUNT_NAMESPACE } from "../../helpers/mount-namespace.ts";
import { scaled } from "../../helpers/speed.ts";

const home = useTempHome();

/** Creates two sandboxes with their data on a mount with such options, and tells what came of it. */
const SCRIPT = `
data=$1 options=$2; shift 2
mount -t tmpfs -o "$options" data "$data" || exit 1
small="--backend firecracker --image minimal --network off --memory 256M --json"
"$@" create --start --isolation jail $small --name jail
"$@" create --start $small --name auto >/dev/null
"$@" info --json auto
"$@" doctor --backend firecracker --json
"$@" rm --all -f --quiet
`;

test.runIf(BACKENDS.includes("firecracker")).each([
  ["nodev", "dev"],
  ["noexec", "exec"],
])(
  "with data on a mount that is %s no Firecracker is jailed, which is known before it boots",
  async (option, remedy) => {
    const data = join(home, "data");
    mkdirSync(data, { recursive: true });
    const argv = [...IN_MOUNT_NAMESPACE, "sh", "-c", SCRIPT, "sh", data, option, ...CLI];
    const deadline = Deadline.of("two sandboxes", { timeoutMs: scaled(60_000) });
    const { stdout } = await runProgram(argv, { deadline, check: false });
    const [jail, auto, doctor] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
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
    // biome-ignore lint/suspicious/noExplicitAny: a check of the report
    const isolation = doctor.data.checks.find((check: any) => check.name === "Isolation");
    expect(isolation.detail).toMatch(new RegExp(`^user: .*mounted ${option}`));
  },
);
