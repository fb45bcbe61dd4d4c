/**
 * Runs tests as on a Windows host, under wine: makes what that takes (setup.sh), exports the default image once, and starts suite.ts with the
 * Windows Node.
 *
 *   node tests/windows/main.ts [--report FILE] [--timeout SECONDS] [--bare-qemu] [TEST-FILES...]
 *   node tests/windows/main.ts [--bare-qemu] -- smolvm ARGUMENTS...
 *
 * The second runs one smolvm command there, in the home of the tests. --bare-qemu: the QEMU as its package brings it, without microvm's firmware.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { consoleTest } from "./console.ts";
import { endAll, WINDOWS_DIR, windowsNode, windowsPath } from "./wine.ts";

const CHECKOUT = join(import.meta.dirname, "../..");
/** Of the tests, in the prefix. */
const HOME = "C:\\smolvm-tests";

const dashes = process.argv.indexOf("--");
const command = dashes < 0 ? undefined : process.argv.slice(dashes + 2);
const { values, positionals } = parseArgs({
  args: process.argv.slice(2, dashes < 0 ? undefined : dashes),
  options: {
    report: { type: "string" },
    timeout: { type: "string" },
    only: { type: "string", short: "t" },
    "bare-qemu": { type: "boolean" },
  },
  allowPositionals: true,
});

execFileSync(join(import.meta.dirname, "setup.sh"), { stdio: ["ignore", "inherit", "inherit"] });
const qemu = windowsPath(join(WINDOWS_DIR, values["bare-qemu"] ? "qemu" : "qemu/whole"));

if (command !== undefined) {
  const { code, stdout, stderr } = await windowsNode(
    ["--no-warnings", windowsPath(join(CHECKOUT, "src/cli/bin.ts")), ...command],
    { env: { SMOLVM_HOME: HOME, SMOLVM_QEMU: qemu } },
  );
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exit(code ?? 1);
}

/** A console is none of the suite's: it is a terminal of ours (console.ts). */
const CONSOLE = "tests/windows/console.ts";
const files = positionals.filter((file) => file !== CONSOLE);
const withConsole = values.only === undefined && (positionals.length === 0 || positionals.includes(CONSOLE));

const images = ["debian", "minimal"].map(exportImage);
const report = values.report ?? join(WINDOWS_DIR, "report.json");
rmSync(report, { force: true });
const args = [
  ...["--no-warnings", windowsPath(join(CHECKOUT, "tests/windows/suite.ts"))],
  ...images.flatMap((image) => ["--image", windowsPath(image)]),
  ...["--report", windowsPath(report)],
  ...(values.only === undefined ? [] : ["--only", values.only]),
  ...(positionals.length > 0 && files.length === 0 ? ["--none"] : files),
];
/** The command line under test: the built one, where that is meant or there is one, because the sources take seconds to load there. */
const built = process.env.SMOLVM_TEST_CLI || join(CHECKOUT, "dist/cli/bin.js");
const cli = windowsPath(existsSync(built) ? built : join(CHECKOUT, "src/cli/bin.ts"));
const timeoutMs = values.timeout === undefined ? undefined : Number(values.timeout) * 1000;
// Who gives it up ends what runs in there as well: two suites in one home would take each other's sandboxes.
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    endAll();
    process.exit(130);
  });
let { code } = await windowsNode(args, {
  env: {
    SMOLVM_TEST_HOME: HOME,
    SMOLVM_TEST_QEMU: qemu,
    ...(process.getuid?.() === 0 ? {} : { SMOLVM_TEST_LOW_PORTS: "0" }),
    SMOLVM_TEST_BUSYBOX: windowsPath("/bin/busybox"),
    SMOLVM_TEST_CLI: cli,
  },
  show: true,
  ...(timeoutMs === undefined ? {} : { timeoutMs }),
});
if (code === 124) console.log(`\nFAILED: the ${values.timeout} s of --timeout were over`);
if (withConsole) {
  const env = { SMOLVM_HOME: HOME, SMOLVM_QEMU: qemu, SMOLVM_TEMPLATE: "off" };
  const words = ["--no-warnings", cli];
  const failure = await consoleTest(words, env, (...more) => windowsNode([...words, ...more], { env }));
  console.log(
    `\n${CONSOLE}\n  ${failure === undefined ? "ok" : "FAILED"} smolvm shell in a console ${failure ?? ""}`,
  );
  addToReport(failure);
  if (failure !== undefined) code = 1;
}
endAll(); // what a failed test has left
process.exit(code ?? 1);

function addToReport(failure: string | undefined): void {
  if (!existsSync(report)) return; // the suite was ended
  const { success, testResults } = JSON.parse(readFileSync(report, "utf8"));
  const status = failure === undefined ? "passed" : "failed";
  const failureMessages = failure === undefined ? [] : [failure];
  const assertionResults = [{ fullName: "smolvm shell in a console", status, failureMessages }];
  const results = [...testResults, { name: join(CHECKOUT, CONSOLE), status, message: "", assertionResults }];
  writeFileSync(report, JSON.stringify({ success: success && failure === undefined, testResults: results }));
}

/** An image as a file, exported anew when it, its kernel or its agent has changed. */
function exportImage(name: string): string {
  const smolvm = (...words: string[]): string =>
    execFileSync(join(CHECKOUT, "bin/smolvm"), words, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
  const found = (JSON.parse(smolvm("image", "ls", "--json")).data as Record<string, string>[]).find(
    (image) => image.name === name && image.arch === "x86_64",
  );
  if (found === undefined) throw new Error(`there is no image '${name}': ./bin/smolvm image build ${name}`);
  const made = createHash("sha256")
    .update(found.digest!)
    .update(smolvm("image", "kernel", "ls"))
    .update(readFileSync(join(CHECKOUT, "native/agent-x86_64")))
    .digest("hex");
  const directory = join(WINDOWS_DIR, "images");
  const file = join(directory, `${name}-${made.slice(0, 16)}.tgz`);
  if (existsSync(file)) return file;
  mkdirSync(directory, { recursive: true });
  for (const old of readdirSync(directory)) if (old.startsWith(`${name}-`)) rmSync(join(directory, old));
  smolvm("image", "export", "--quiet", name, file);
  return file;
}
