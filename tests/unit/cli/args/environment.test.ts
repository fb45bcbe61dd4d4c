import { describe, expect, test } from "vitest";
import { parseEnvFile } from "../../../../src/cli/args/env-file.ts";
import { SmolVMError } from "../../../../src/errors.ts";

const parse = (text: string | Uint8Array, caller: NodeJS.ProcessEnv = {}): ReturnType<typeof parseEnvFile> =>
  parseEnvFile(typeof text === "string" ? Buffer.from(text) : text, "app.env", caller);

function refusal(text: string | Uint8Array): string {
  try {
    return `accepted: ${JSON.stringify(parse(text))}`;
  } catch (error) {
    if (error instanceof SmolVMError && error.code === "USAGE") return `${error.message} | ${error.hint}`;
    throw error;
  }
}

describe("an environment file", () => {
  test("is read by docker's rules: values as they are, comments and empty lines skipped, the last of a name wins", () => {
    const text = [
      "\uFEFF# the service",
      "A=1",
      "   B=two words ",
      'QUOTED="kept"',
      "URL=http://x/?a=b#not-a-comment",
      "",
      "\t# indented comment",
      "EMPTY=",
      "A=2\r",
      "__proto__=own",
    ].join("\n");
    const { env, unset } = parse(text);
    expect(Object.entries(env)).toEqual([
      ["A", "2"],
      ["B", "two words "],
      ["QUOTED", '"kept"'],
      ["URL", "http://x/?a=b#not-a-comment"],
      ["EMPTY", ""],
      ["__proto__", "own"],
    ]);
    expect(unset).toEqual([]);
  });

  test("takes names alone from the caller, and tells those that the caller lacks", () => {
    expect(parse("HOME\nNOPE\nEMPTY \nLATER\nLATER=x", { HOME: "/home/me", EMPTY: "" })).toEqual({
      env: { HOME: "/home/me", EMPTY: "", LATER: "x" },
      unset: ["NOPE"],
    });
  });

  test.each([
    ["A=1\n\n=x", "--env-file: app.env:3: there is no name before '=' | Write NAME=VALUE"],
    ["A B=x", "--env-file: app.env:1: the name 'A B' has a space in it | Write NAME=VALUE"],
    ["# c\nexport A=x", "--env-file: app.env:2: the name 'export A' has a space in it | Leave 'export' out"],
    ["A=x\0", "--env-file: app.env:1: the value of A holds a NUL character"],
    [Buffer.from([0x41, 0x3d, 0xff]), "--env-file: 'app.env' is not UTF-8 text"],
  ])("%j is refused with its line", (text, message) => {
    expect(refusal(text)).toContain(message);
  });
});
