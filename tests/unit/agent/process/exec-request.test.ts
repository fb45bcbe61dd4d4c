import { describe, expect, test } from "vitest";
import { execRequest } from "../../../../src/agent/process/exec-request.ts";
import type { Command } from "../../../../src/agent/types.ts";
import { Open } from "../../../../src/agent/wire/messages.ts";
import { decode } from "../../../../src/agent/wire/schema.ts";

const SHAPE = { stdin: false, window: 1000 };
const exec = (...[command, shape]: [Command, object?]) =>
  decode(Open, execRequest(command, { ...SHAPE, ...shape }).open).exec!;

describe("a command's request", () => {
  test("is a line for the shell or a program with its arguments", () => {
    expect(exec("echo hi").shell.toString()).toBe("echo hi");
    expect(exec("echo hi").argv).toEqual([]);
    expect(exec(["echo", "", "grüße"]).argv.map(String)).toEqual(["echo", "", "grüße"]);
  });

  test("carries environment, directory, user, terminal and input", () => {
    const sent = exec("x", {
      env: { A: "1=2", EMPTY: "", GONE: undefined },
      cwd: "/tmp",
      user: "nobody",
      pty: { cols: 80, rows: 24 },
      stdin: true,
      detached: true,
    });
    expect(sent.env.map(String)).toEqual(["A=1=2", "EMPTY="]);
    expect([String(sent.cwd), String(sent.user), sent.pty, sent.stdin, sent.detached]).toEqual([
      "/tmp",
      "nobody",
      { cols: 80, rows: 24 },
      true,
      true,
    ]);
  });

  test.each<[string, Command, object]>([
    ["an empty line", "", {}],
    ["no words", [], {}],
    ["an empty program", ["", "x"], {}],
    ["a NUL in the line", "echo \0", {}],
    ["a NUL in an argument", ["echo", "\0"], {}],
    ["a word that is no string", ["echo", 5 as never], {}],
    ["no command", undefined as never, {}],
    ["a relative directory", "x", { cwd: "tmp" }],
    ["a NUL in the directory", "x", { cwd: "/\0" }],
    ["a variable without a name", "x", { env: { "": "x" } }],
    ["a variable with = in its name", "x", { env: { "A=B": "x" } }],
    ["a NUL in a variable", "x", { env: { A: "\0" } }],
    ["a variable that is no string", "x", { env: { A: 5 } }],
    ["a NUL in the user", "x", { user: "\0" }],
    ["an empty user, which would be root", "x", { user: "" }],
    ["a directory that is no string", "x", { cwd: 5 }],
    ["variables that are no object", "x", { env: ["A=1"] }],
    ["a terminal without columns", "x", { pty: { cols: 0, rows: 24 } }],
    ["a terminal of fractions", "x", { pty: { cols: 80.5, rows: 24 } }],
    ["a terminal beyond 16 bits", "x", { pty: { cols: 65_536, rows: 24 } }],
  ])("is refused with %s", (_what, command, shape) => {
    expect(() => exec(command, shape)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });

  test("beyond 1 MiB is refused with what to do instead", () => {
    expect(() => exec(["echo", "x".repeat(1 << 20)])).toThrow(
      expect.objectContaining({ code: "ARGUMENTS_TOO_LONG", hint: expect.stringMatching(/stdin/) }),
    );
  });

  test("is described by one short, harmless line", () => {
    expect(execRequest("echo \x1b[31m\nmore", SHAPE).what).toBe("running 'echo \\x1b[31m\\nmore'");
    expect(execRequest(["sleep", "1"], SHAPE).what).toBe("running 'sleep 1'");
    expect(execRequest("x".repeat(100), SHAPE).what).toBe(`running '${"x".repeat(60)}…'`);
  });
});
