import type { OnProgress } from "../../config/progress.ts";
import type { Arch } from "../../config/spec.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Arguments } from "../arguments.ts";
import type { OptionSpec } from "../command.ts";
import type { Io } from "../io.ts";
import { timeoutOption } from "./duration.ts";
import { ARCH_OPTION, parseArch } from "./image.ts";
import { COMMON_OPTIONS } from "./options.ts";

export const INSECURE_OPTION: OptionSpec = {
  name: "insecure",
  help: "the registry may speak plain HTTP; without it only one on this machine",
};

/** Of a command that moves an image to or from a registry. */
export const TRANSFER_OPTIONS: readonly OptionSpec[] = [
  ARCH_OPTION,
  INSECURE_OPTION,
  { name: "timeout", value: "TIME", help: "give up after that time" },
  ...COMMON_OPTIONS,
];

/**
 * What {@link TRANSFER_OPTIONS} say.
 * @param what the transfer in the user's words
 * @throws SmolVMError USAGE
 */
export function transferOptions(
  io: Io,
  args: Arguments,
  what: string,
): { arch: Arch; insecure: boolean; deadline: Deadline; onProgress: OnProgress } {
  const { signal } = io.interrupts;
  return {
    arch: parseArch(args.value("arch")),
    insecure: args.flag("insecure"),
    deadline: Deadline.of(what, { timeoutMs: timeoutOption(args), signal, option: "--timeout" }),
    onProgress: io.onProgress,
  };
}
