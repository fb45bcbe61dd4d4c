import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { RunningCli } from "../../helpers/cli.ts";
import { useTempHome } from "../../helpers/home.ts";

useTempHome();

const ROOT = join(import.meta.dirname, "../../..");
const EXAMPLES = join(ROOT, "examples");

/** What an example says that it prints: the comment lines after `// Output:`. */
function promised(source: string): string {
  const [, block] = /^\/\/ Output:\n((?:\/\/ .*\n)+)/m.exec(source) ?? [];
  if (block === undefined) throw new Error("the example does not say what it prints");
  return block.replaceAll(/^\/\/ /gm, "");
}

describe("the example", () => {
  test.each(readdirSync(EXAMPLES).filter((file) => file.endsWith(".ts")))(
    "%s prints what it says",
    async (file) => {
      const path = join(EXAMPLES, file);
      const hooks = join(ROOT, "tests/helpers/package-from-source.ts");
      const child = spawn(process.execPath, ["--import", hooks, path], { stdio: ["ignore", "pipe", "pipe"] });
      const { code, text, stderr } = await new RunningCli(child).ended;
      expect({ code, text, stderr }).toEqual({
        code: 0,
        text: promised(readFileSync(path, "utf8")),
        stderr: "",
      });
    },
  );
});
