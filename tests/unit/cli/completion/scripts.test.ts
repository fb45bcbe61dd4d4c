import { describe, expect, test } from "vitest";
import { bashScript } from "../../../../src/cli/completion/bash.ts";
import { fishScript } from "../../../../src/cli/completion/fish.ts";
import { powershellScript } from "../../../../src/cli/completion/powershell.ts";
import { completedWords, nextWords, quoted } from "../../../../src/cli/completion/words.ts";
import { zshScript } from "../../../../src/cli/completion/zsh.ts";

const words = completedWords([
  {
    summary: "Start: it's quick",
    spec: {
      name: "start",
      usage: "NAME",
      operands: { min: 1, max: Number.POSITIVE_INFINITY, what: "name", complete: "sandboxes" },
      options: [
        { name: "mode", short: "m", value: "MODE", choices: ["one", "two"], help: "how: one or two" },
        { name: "kernel", value: "FILE", help: "a file" },
      ],
      exit: "plain",
      examples: [],
    },
  },
  {
    summary: "List images",
    spec: {
      name: "image ls",
      usage: "",
      operands: { min: 0, max: 0, what: "nothing" },
      options: [{ name: "quiet", short: "q", help: "names only" }],
      exit: "plain",
      examples: [],
    },
  },
]);

describe("completion's words", () => {
  test("are commands, groups and help; of a group its members", () => {
    expect(nextWords(words, "").map(([word]) => word)).toEqual(["start", "image", "help"]);
    expect(nextWords(words, "image")).toEqual([["ls", "List images"]]);
  });

  test("are quoted so that a shell takes them as they are", () => {
    expect(quoted("it's $HOME")).toBe("'it'\\''s $HOME'");
    expect(quoted("it's \\", "fish")).toBe("'it\\'s \\\\'");
  });
});

describe("the scripts", () => {
  test("of bash and zsh know options, values and operands", () => {
    for (const script of [bashScript(words), zshScript(words)]) {
      expect(script).toContain("'start') operand='sandboxes' most=999 options=('--mode");
      expect(script).toContain("'start --mode'|'start -m') kind='choices one two' ;;");
      expect(script).toContain("'start --kernel') kind='files' ;;");
      expect(script).not.toContain("secret");
    }
  });

  test("of zsh and fish describe the words", () => {
    expect(zshScript(words)).toContain("'start:Start: it'\\''s quick'");
    const fish = fishScript(words);
    expect(fish).toContain("-n '__smolvm_at \\'\\'' -a start -d 'Start: it\\'s quick'\n");
    expect(fish).toContain(
      "-n '__smolvm_at \\'start\\'' -l mode -s m -x -a 'one two' -d 'how: one or two'\n",
    );
    expect(fish).toContain("-n '__smolvm_at \\'start\\'' -l kernel -r -F -d 'a file'\n");
  });

  test("of PowerShell knows options, values and operands, in strings that end where they should", () => {
    const script = powershellScript(words);
    expect(script).toContain(
      "'start' = @{ operand = 'sandboxes'; most = 999; options = @('--mode|choices one two|how: one or two', '-m|choices one two|how: one or two', '--kernel|files|a file') }",
    );
    expect(script).toContain("'' = @('start|Start: it''s quick', ");
    expect(script).toContain("'--quiet||names only'");
    // Outside of strings and comments all brackets are closed again.
    const bare = script.replaceAll(/'(?:[^']|'')*'/g, "''").replaceAll(/^\s*#.*$/gm, "");
    const open: string[] = [];
    for (const [bracket] of bare.matchAll(/[(){}[\]]/g)) {
      if ("([{".includes(bracket)) open.push(bracket);
      else expect({ "(": ")", "[": "]", "{": "}" }[open.pop() ?? ""]).toBe(bracket);
    }
    expect(open).toEqual([]);
  });
});
