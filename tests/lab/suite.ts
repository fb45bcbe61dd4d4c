/**
 * Runs test files one after the other inside of the lab; each leaves its report, NAME.json, in a directory of the host, and one
 * that has left it already is not run again. So a lab that stood still, and is started again, goes on with the file it was at.
 *
 *   npm run lab -- --share DIRECTORY node tests/lab/suite.ts DIRECTORY FILE...
 *
 * The exit code is 1 if a test failed.
 */
import { spawnSync } from "node:child_process";
import { existsSync, renameSync } from "node:fs";
import { basename, join } from "node:path";

const [directory = "", ...files] = process.argv.slice(2);
let failed = false;
for (const file of files) {
  const report = join(directory, `${basename(file, ".test.ts")}.json`);
  if (existsSync(report)) continue;
  const unfinished = `${report}.unfinished`;
  const started = performance.now();
  const projects = ["--project", "integration", "--project", "lab"];
  const reporters = ["--reporter=verbose", "--reporter=json", `--outputFile.json=${unfinished}`];
  const { status } = spawnSync("vitest", ["run", "--retry=1", ...projects, ...reporters, file], {
    stdio: "inherit",
  });
  console.log(`${file}: ${Math.round((performance.now() - started) / 1000)} s`);
  failed ||= status !== 0;
  if (existsSync(unfinished)) renameSync(unfinished, report);
}
process.exitCode = failed ? 1 : 0;
