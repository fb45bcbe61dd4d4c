import type { CommandLimits } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";
import { parseSizeMib } from "./size.ts";

/** What --pids-limit and --memory-limit say; undefined: neither was given. @throws SmolVMError USAGE */
export function commandLimits(args: Arguments): CommandLimits | undefined {
  const pids = args.value("pids-limit");
  const memory = args.value("memory-limit");
  if (pids !== undefined && !/^\d{1,9}$/.test(pids)) {
    throw new SmolVMError("USAGE", `--pids-limit: '${pids}' is not a whole number`, {
      hint: "Write --pids-limit 100",
    });
  }
  if (pids === undefined && memory === undefined) return undefined;
  return {
    pids: pids === undefined ? undefined : Number(pids),
    memoryMib: memory === undefined ? undefined : parseSizeMib("--memory-limit", memory),
  };
}
