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
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
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

const image = exportImage();
const args = [
  ...["--no-warnings", windowsPath(join(CHECKOUT, "tests/windows/suite.ts")), "--image", windowsPath(image)],
  ...(values.report === undefined ? [] : ["--report", windowsPath(values.report)]),
  ...(values.only === undefined ? [] : ["--only", values.only]),
  ...positionals,
];
/** The command line under test: the built one, where that is meant or there is one, because the sources take seconds to load there. */
const cli = process.env.SMOLVM_TEST_CLI || join(CHECKOUT, "dist/cli/bin.js");
const timeoutMs = values.timeout === undefined ? undefined : Number(values.timeout) * 1000;
const { code } = await windowsNode(args, {
  env: {
    SMOLVM_TEST_HOME: HOME,
    SMOLVM_TEST_QEMU: qemu,
    SMOLVM_TEST_CLI: existsSync(cli) ? windowsPath(cli) : "",
  },
  show: true,
  ...(timeoutMs === undefined ? {} : { timeoutMs }),
});
endAll(); // what a failed test has left
process.exit(code ?? 1);

/** The default image as a file, exported anew when it, its kernel or its agent has changed. */
function exportImage(): string {
  const smolvm = (...words: string[]): string =>
    execFileSync(join(CHECKOUT, "bin/smolvm"), words, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
  const images = JSON.parse(smolvm("image", "ls", "--json")).data as {
    name: string;
    arch: string;
    digest: string;
  }[];
  const debian = images.find(({ name, arch }) => name === "debian" && arch === "x86_64");
  if (debian === undefined) throw new Error("there is no default image: ./bin/smolvm image build debian");
  const made = createHash("sha256")
    .update(debian.digest)
    .update(smolvm("image", "kernel", "ls"))
    .update(readFileSync(join(CHECKOUT, "native/agent-x86_64")))
    .digest("hex");
  const directory = join(WINDOWS_DIR, "images");
  const file = join(directory, `debian-${made.slice(0, 16)}.tgz`);
  if (existsSync(file)) return file;
  mkdirSync(directory, { recursive: true });
  for (const old of readdirSync(directory)) rmSync(join(directory, old));
  smolvm("image", "export", "--quiet", "debian", file);
  return file;
}
