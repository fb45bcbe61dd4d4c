import { countOption, type ProgramSpec } from "../scripts/program.ts";
import type { Arguments } from "../src/cli/arguments.ts";
import type { OptionSpec } from "../src/cli/command.ts";
import { SmolVMError } from "../src/errors.ts";
import type { Target } from "./machine.ts";
import { ROWS } from "./rows/index.ts";
import type { Setting } from "./setting.ts";

/** In the lab a start takes a while. */
const CREATE_TIMEOUT_MS = 300_000;

/** Which guests are measured; values are checked where sandboxes are made. */
export const GUEST_OPTIONS: readonly OptionSpec[] = [
  { name: "arch", value: "ARCH", help: "guests' architecture, x86_64 or aarch64 (default: this machine's)" },
  { name: "kernel", value: "KERNEL", help: "kernel to boot: fast, debian or a file (default: the image's)" },
];

export const BENCH: ProgramSpec = {
  invocation: "npm run bench --",
  summary: "Measure rows of the performance goals against a floor in the same run, interleaved.",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    {
      name: "rows",
      value: "ROWS",
      help: "which, with commas between them (default: all but 2b, 10, 16 and 18b)",
    },
    { name: "n", value: "N", help: "rounds of samples (default: as many as each row takes by itself)" },
    { name: "runs", value: "N", help: "rounds of what takes milliseconds (default: 300)" },
    { name: "mib", value: "MIB", help: "size of a transfer (default: 256)" },
    { name: "bare", help: "sandboxes with nothing around their VMM as well" },
    { name: "backend", value: "NAME", help: "qemu (default) or firecracker" },
    ...GUEST_OPTIONS,
    { name: "accelerator", value: "NAME", help: "QEMU's: kvm, hvf, whpx or tcg" },
    { name: "json", help: "print one object for each row" },
    { name: "out", value: "FILE", help: "where the raw samples go (default: bench/results/DATE.json)" },
  ],
  notes: [
    `Rows: ${Object.entries(ROWS)
      .map(([row, { what }]) => `${row} ${what}`)
      .join("; ")}.`,
    "Rows 3b, 8 and 9 need npm run build; 3 and 12 a C compiler. In the lab: bench/lab.sh.",
  ],
  examples: ["npm run bench -- --rows 1,3", "npm run bench -- --rows 12 --runs 1000 --kernel fast"],
};

/** What is to be measured, and how. @throws SmolVMError USAGE */
export function readSetting(args: Arguments): {
  readonly rows: readonly string[];
  readonly setting: Setting;
} {
  const rows = (
    args.value("rows") ??
    Object.keys(ROWS)
      .filter((row) => !["2b", "10", "16", "18b"].includes(row))
      .join(",")
  ).split(",");
  const unknown = rows.find((row) => !(row in ROWS));
  if (unknown !== undefined) {
    throw new SmolVMError("USAGE", `--rows: there is no row '${unknown}'`, {
      hint: `There are ${Object.keys(ROWS).join(", ")}: npm run bench -- --rows 1,3`,
    });
  }
  const given = ["arch", "kernel", "accelerator"].map((name) => [name, args.value(name)] as const);
  const target = {
    backend: args.value("backend") ?? "qemu",
    ...Object.fromEntries(given.filter(([, value]) => value !== undefined)),
    network: "off",
    timeoutMs: CREATE_TIMEOUT_MS,
  } as Target;
  const setting = {
    target,
    n: countOption(args, "n"),
    runs: countOption(args, "runs") ?? 300,
    mib: countOption(args, "mib") ?? 256,
    bare: args.flag("bare"),
  };
  return { rows, setting };
}
