import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const ENTRY = join(import.meta.dirname, "../../../src/index.ts");

/** Imports the library in a process of its own, without node:sqlite, as on Node 20. */
function importIt(version: string): string {
  const program = `
    Object.defineProperty(process, "versions", { value: { ...process.versions, node: "${version}" } });
    const said = ({ name, code, message, hint }) => console.log(JSON.stringify({ name, code, message, hint }));
    try {
      const { SmolVM } = await import(${JSON.stringify(ENTRY)});
      await SmolVM.list();
    } catch (error) {
      said(error);
    }`;
  const args = ["--no-experimental-sqlite", "--input-type=module", "--eval", program];
  return spawnSync(process.execPath, args, { encoding: "utf8", env: { ...process.env, SMOLVM_HOME: "" } })
    .stdout;
}

test("importing the library into a Node that is too old says which one it needs", () => {
  expect(JSON.parse(importIt("20.20.2"))).toEqual({
    name: "SmolVMError",
    code: "DEPENDENCY_MISSING",
    message: expect.stringMatching(/^smolvm needs Node\.js 22\.18 or newer; this is 20\.20\.2 \(.*\)$/),
    hint: expect.stringMatching(/npx -p node@24 node PROGRAM$/),
  });
});

test("a runtime without SQLite imports the library, and is told so when it is first needed", () => {
  expect(JSON.parse(importIt("24.0.0"))).toMatchObject({
    code: "DEPENDENCY_MISSING",
    message: expect.stringMatching(/^this runtime has no node:sqlite/),
  });
});
