import { describe, expect, test } from "vitest";
import { helpText } from "../../../src/cli/commands/help.ts";
import { COMMANDS } from "../../../src/cli/commands/index.ts";

describe("help", () => {
  test("of everything is docs/cli-reference.md, word for word", async () => {
    const pages = await Promise.all(
      [...COMMANDS.keys()].map(async (name) => [name, await helpText(name)] as const),
    );
    const sections = [["smolvm", await helpText("")] as const, ...pages].map(
      ([name, text]) => `## ${name}\n\n\`\`\`\n${text}\`\`\`\n`,
    );
    const page = `# Command line reference\n\nWhat \`smolvm help\` and \`smolvm help COMMAND\` print. See [cli.md](cli.md) for what is common to all.\n\n${sections.join("\n")}`;
    await expect(page).toMatchFileSnapshot("../../../docs/cli-reference.md");
  });

  test("fits a terminal of 80 columns", async () => {
    for (const name of ["", "image", "supervisor", ...COMMANDS.keys()]) {
      for (const line of (await helpText(name)).split("\n"))
        expect(line.length, line).toBeLessThanOrEqual(80);
    }
  });

  test("of a group lists its commands", async () => {
    expect(await helpText("image")).toMatch(/Usage: smolvm image COMMAND.*image build +Build an image/s);
    expect(await helpText("supervisor")).not.toContain("doctor");
    expect(await helpText("image kernel")).not.toContain("image prune");
  });

  test("of what is not there names the nearest command", async () => {
    await expect(helpText("runn")).rejects.toMatchObject({
      message: "unknown command 'runn'",
      hint: "Did you mean: smolvm help run",
    });
    await expect(helpText("xyzzyxyzzy")).rejects.toMatchObject({ hint: "See all commands: smolvm help" });
  });
});

describe("every command", () => {
  test.each([...COMMANDS.values()])(
    "$name agrees with its entry and speaks JSON, quiet, verbose and help",
    async (entry) => {
      const { spec } = await entry.load();
      expect(spec.name).toBe(entry.name);
      const names = spec.options.map((option) => option.name);
      expect(names).toEqual(expect.arrayContaining(["json", "quiet", "verbose", "help"]));
      expect(new Set(names).size).toBe(names.length);
      const shorts = spec.options.flatMap((option) => option.short ?? []);
      expect(new Set(shorts).size).toBe(shorts.length);
      expect(spec.examples.join("\n")).toContain(`smolvm ${entry.name}`);
    },
  );
});
