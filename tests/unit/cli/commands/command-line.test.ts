import { expect, test } from "vitest";
import { splitCommand } from "../../../../src/cli/commands/command-line.ts";

function split(...words: string[]): unknown {
  const line = splitCommand(words);
  return line.help === undefined ? [line.name, line.words] : `help: ${line.help}`;
}

test("the command is the first word, or the first two of a group; common options may stand before it", () => {
  expect(split("run", "--", "ls")).toEqual(["run", ["--", "ls"]]);
  expect(split("--json", "-q", "ls", "--state", "running")).toEqual([
    "ls",
    ["--json", "-q", "--state", "running"],
  ]);
  expect(split("image", "build", "debian")).toEqual(["image build", ["debian"]]);
  expect(split("--json", "image", "--quiet", "rm", "debian")).toEqual([
    "image rm",
    ["--json", "--quiet", "debian"],
  ]);
  expect(split("--version")).toEqual(["version", []]);
});

test("help is asked for in many ways", () => {
  for (const words of [[], ["help"], ["-h"], ["--help"], ["--json"]]) expect(split(...words)).toBe("help: ");
  expect(split("help", "run")).toBe("help: run");
  expect(split("help", "image", "build")).toBe("help: image build");
  for (const words of [["image"], ["image", "-h"], ["help", "image"]])
    expect(split(...words)).toBe("help: image");
  expect(split("run", "--help")).toEqual(["run", ["--help"]]);
});

test("what is no command names the nearest one", () => {
  expect(() => split("rn")).toThrow(
    expect.objectContaining({ code: "USAGE", hint: "Did you mean: smolvm run" }),
  );
  expect(() => split("image", "lst")).toThrow(
    expect.objectContaining({ hint: "Did you mean: smolvm image ls" }),
  );
  expect(() => split("--memory", "1G", "run")).toThrow("unknown option '--memory'");
});

test.each([
  ["exce", "exec"],
  ["sl", "ls"],
  ["restor", "restart"],
  ["image foo", undefined],
  ["image imprt", "image import"],
  ["image list", "image ls"],
  ["image kernel sl", "image kernel ls"],
])("'%s' is taken for %s", (typed, meant) => {
  const hint = meant === undefined ? "See all commands: smolvm help image" : `Did you mean: smolvm ${meant}`;
  expect(() => split(...typed.split(" "))).toThrow(expect.objectContaining({ hint }));
});

test("what does something else than any of our commands is not taken for one", () => {
  for (const word of ["teleport", "checkpoint"]) {
    expect(() => split(word)).toThrow(
      expect.objectContaining({
        message: `unknown command '${word}'`,
        hint: "See all commands: smolvm help",
      }),
    );
  }
});

test.each([
  ["list", "ls"],
  ["delete", "rm"],
  ["inspect", "info"],
  ["images", "image ls"],
])("'%s', as other tools say, leads to %s", (typed, ours) => {
  expect(() => split(typed)).toThrow(expect.objectContaining({ hint: `Did you mean: smolvm ${ours}` }));
});
