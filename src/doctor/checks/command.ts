import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join, sep } from "node:path";
import { packageDir } from "../../host/package.ts";
import { findProgram } from "../../host/process/find-program.ts";
import { type Check, type CheckResult, pass, warn } from "../check.ts";

const NAME = "Command";

/** Which `smolvm` a shell would run: other programs have that name, too. */
export const command: Check = ({ env, platform }) => {
  if (platform === "win32") return undefined; // there it is a script of npm's, by another name
  const path = findProgram("smolvm", env.path);
  const own = packageDir();
  const fix = existsSync(join(own, "bin", "smolvm"))
    ? `Put this one first: export PATH='${join(own, "bin")}':$PATH`
    : "Run this one, in the directory whose node_modules it is in: npx smolvm";
  if (path === undefined) return pass(NAME, "smolvm is not on PATH");
  const real = realpathSync(path);
  return commandResult({ path, real, start: startOf(real), own }, fix);
};

/** How the `smolvm` that was found is judged. `start`: what its file begins with. Pure. */
export function commandResult(
  found: { readonly path: string; readonly real: string; readonly start: string; readonly own: string },
  fix: string,
): CheckResult {
  const { path, real, start, own } = found;
  if (real.startsWith(`${own}${sep}`)) return pass(NAME, path);
  // Some package managers make a script where npm makes a link.
  if (/smolvm\/dist\/cli\/bin\.js/.test(real) || /smolvm\/dist\/cli\/bin\.js/.test(start))
    return warn(NAME, `${path} is another copy of smolvm than this one (${own})`, fix);
  return warn(NAME, `${path} is another program of that name, and not this smolvm (${own})`, fix);
}

function startOf(file: string): string {
  try {
    return readFileSync(file).subarray(0, 4096).toString("latin1");
  } catch {
    return "";
  }
}
