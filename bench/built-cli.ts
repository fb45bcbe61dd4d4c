import { existsSync } from "node:fs";
import { join } from "node:path";
import { SmolVMError } from "../src/errors.ts";

/** The command line as users have it. @throws SmolVMError DEPENDENCY_MISSING */
export function builtCli(): string {
  const path = join(import.meta.dirname, "../dist/cli/bin.js");
  if (existsSync(path)) return path;
  throw new SmolVMError("DEPENDENCY_MISSING", "the command line is not built", { hint: "npm run build" });
}
