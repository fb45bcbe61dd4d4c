import { describe, expect, test } from "vitest";
import { parseArguments } from "../../../../src/cli/args/parse.ts";
import type { CommandSpec } from "../../../../src/cli/command.ts";
import { SmolVMError } from "../../../../src/errors.ts";

const run: CommandSpec = {
  name: "run",
  usage: "[OPTIONS] [--] COMMAND",
  operands: { min: 0, max: 0, what: "the command" },
  trailing: true,
  options: [
    { name: "interactive", short: "i", help: "" },
    { name: "tty", short: "t", help: "" },
    { name: "memory", short: "m", value: "SIZE", help: "" },
    { name: "env", short: "e", value: "K=V", repeat: true, help: "" },
    { name: "help", short: "h", help: "" },
  ],
  exit: "guest",
  examples: [],
};
const exec: CommandSpec = { ...run, name: "exec", operands: { min: 1, max: 1, what: "the sandbox's name" } };
const rm: CommandSpec = {
  ...run,
  name: "rm",
  usage: "NAME...",
  operands: { min: 1, max: 2, what: "the sandbox's name" },
  trailing: undefined!,
};

function refusal(spec: CommandSpec, ...words: string[]): string {
  try {
    parseArguments(spec, words);
  } catch (error) {
    if (error instanceof SmolVMError) return `${error.code}: ${error.message} | ${error.hint}`;
    throw error;
  }
  return "accepted";
}

describe("options", () => {
  test.each([["--memory", "1G"], ["--memory=1G"], ["-m", "1G"], ["-m1G"], ["-m=1G"], ["-itm", "1G"]])(
    "a value is read from %j",
    (...words) => {
      expect(parseArguments(run, [...words, "ls"]).value("memory")).toBe("1G");
    },
  );

  test("short flags can be written together", () => {
    const args = parseArguments(run, ["-it", "sh"]);
    expect([args.flag("interactive"), args.flag("tty"), args.flag("help")]).toEqual([true, true, false]);
  });

  test("a repeatable option keeps all its values in order, and a value may hold '=' and be empty", () => {
    expect(parseArguments(run, ["-e", "A=1=2", "--env=B=", "--env=", "ls"]).values("env")).toEqual([
      "A=1=2",
      "B=",
      "",
    ]);
  });

  test("a flag may be repeated, a single value may not", () => {
    expect(parseArguments(run, ["-i", "-i", "ls"]).flag("interactive")).toBe(true);
    expect(refusal(run, "-m", "1G", "--memory", "2G")).toMatchInlineSnapshot(
      `"USAGE: --memory is given twice: '1G' and '2G' | Usage: smolvm run [OPTIONS] [--] COMMAND"`,
    );
  });

  test("a forgotten value is noticed, at the end and before another option", () => {
    expect(refusal(run, "--memory")).toMatchInlineSnapshot(
      `"USAGE: --memory needs a value (SIZE) | Usage: smolvm run [OPTIONS] [--] COMMAND"`,
    );
    expect(refusal(run, "--memory", "--tty", "ls")).toMatchInlineSnapshot(
      `"USAGE: --memory needs a value (SIZE), found '--tty' | Usage: smolvm run [OPTIONS] [--] COMMAND"`,
    );
  });

  test("a flag takes no value", () => {
    expect(refusal(run, "--tty=yes", "ls")).toMatchInlineSnapshot(
      `"USAGE: --tty takes no value, found '--tty=yes' | Usage: smolvm run [OPTIONS] [--] COMMAND"`,
    );
  });

  test("an unknown option names the nearest known one", () => {
    expect(refusal(rm, "--memroy", "1G", "a")).toMatchInlineSnapshot(
      `"USAGE: unknown option '--memroy' | Did you mean --memory?"`,
    );
    expect(refusal(rm, "--nothing-like-it", "a")).toMatchInlineSnapshot(
      `"USAGE: unknown option '--nothing-like-it' | Usage: smolvm rm NAME..."`,
    );
  });

  test("an option of create says that what exists is not changed", () => {
    const start: CommandSpec = {
      ...rm,
      name: "start",
      fixed: [{ name: "disk", short: "d", value: "SIZE", help: "" }],
    };
    const answer =
      "is said once, when a sandbox is created: one that exists keeps what it has | Create another one: smolvm create --disk SIZE";
    expect(refusal(start, "a", "--disk", "1G")).toBe(`USAGE: --disk ${answer}`);
    expect(refusal(start, "a", "-d", "1G")).toBe(`USAGE: -d ${answer}`);
  });

  test("an unknown option before the program is most likely meant for the program", () => {
    expect(refusal(exec, "box", "-la", "ls")).toMatchInlineSnapshot(
      `"USAGE: unknown option '-l' | If it is for the program, put it behind the program's name: smolvm exec box -- PROGRAM -la"`,
    );
  });

  test("reading an option that is not declared is a bug", () => {
    expect(() => parseArguments(run, ["ls"]).flag("nope")).toThrow(/does not declare/);
  });
});

describe("the guest's command line", () => {
  test.each([
    [
      ["ls", "-la", "--", "x"],
      ["ls", "-la", "--", "x"],
    ],
    [
      ["--", "ls", "-la"],
      ["ls", "-la"],
    ],
    [
      ["-i", "--", "--", "x"],
      ["--", "x"],
    ],
    [
      ["ls", "--memory"],
      ["ls", "--memory"],
    ],
    [
      ["-", "x"],
      ["-", "x"],
    ],
    [[], []],
  ])("run %j leaves %j to the guest", (words, trailing) => {
    expect(parseArguments(run, words).trailing).toEqual(trailing);
  });

  test.each([
    [["box", "ls", "-i"], ["ls", "-i"], false],
    [["-i", "box", "--", "ls"], ["ls"], true],
    [["box", "-i", "ls"], ["ls"], true],
    [["-i", "--", "box", "ls", "--", "y"], ["ls", "--", "y"], true],
    [["box", "--", "--", "ls"], ["--", "ls"], false],
  ])("exec %j leaves %j to the guest", (words, trailing, interactive) => {
    const args = parseArguments(exec, words);
    expect([args.operands, args.trailing, args.flag("interactive")]).toEqual([
      ["box"],
      trailing,
      interactive,
    ]);
  });
});

describe("operands", () => {
  test("options may stand anywhere, and what follows -- is an operand", () => {
    const args = parseArguments(rm, ["a", "-i", "--", "-b"]);
    expect([args.operands, args.flag("interactive")]).toEqual([["a", "-b"], true]);
  });

  test("too few and too many are refused, unless help was asked for", () => {
    expect(refusal(rm)).toMatchInlineSnapshot(
      `"USAGE: the sandbox's name is missing | Usage: smolvm rm NAME..."`,
    );
    expect(refusal(rm, "a", "b", "c")).toMatchInlineSnapshot(
      `"USAGE: unexpected argument 'c' | Usage: smolvm rm NAME..."`,
    );
    expect(refusal(rm, "-h")).toBe("accepted");
  });
});
