import { describe, expect, test } from "vitest";
import { renderError } from "../../../../src/cli/render/error.ts";
import { COLOURS, PLAIN, paintFor } from "../../../../src/cli/render/paint.ts";
import { renderFields, renderTable } from "../../../../src/cli/render/table.ts";
import { formatBytes, formatMib, formatUptime } from "../../../../src/cli/render/units.ts";
import { VisibleStream, visibleLines } from "../../../../src/cli/render/visible.ts";
import { SmolVMError } from "../../../../src/errors.ts";

describe("tables", () => {
  const columns = [{ head: "NAME" }, { head: "UPTIME", align: "right" as const }, { head: "PORTS" }];

  test("columns are as wide as they must be, and lines end where the text ends", () => {
    expect(
      renderTable(columns, [
        ["a", "3h 5m", ""],
        ["a-longer-name", "-", "8080->80"],
      ]),
    ).toBe(
      ["NAME           UPTIME  PORTS", "a               3h 5m", "a-longer-name       -  8080->80", ""].join(
        "\n",
      ),
    );
  });

  test("without rows there is the head", () => {
    expect(renderTable(columns, [])).toBe("NAME  UPTIME  PORTS\n");
  });

  test("what a guest named cannot move the cursor", () => {
    expect(renderTable([{ head: "N" }], [["a\x1b[2Jb\nc"]])).toBe("N\na\\x1b[2Jb\\nc\n");
    expect(
      renderFields([
        ["image", "x\x07"],
        ["none", undefined],
        ["id", "1"],
      ]),
    ).toBe("image: x\\x07\nid:    1\n");
  });
});

describe("errors", () => {
  const error = new SmolVMError("VM_NOT_FOUND", "there is no sandbox 'bax'", {
    hint: "Did you mean 'box'? See: smolvm ls",
    details: { name: "bax" },
  });

  test("say what happened and what to do", () => {
    expect(renderError(error, { paint: PLAIN, verbose: false })).toBe(
      "error: there is no sandbox 'bax'\nhint: Did you mean 'box'? See: smolvm ls\n",
    );
  });

  test("are coloured only where they are labelled", () => {
    expect(renderError(error, { paint: COLOURS, verbose: false })).toBe(
      "\x1b[31merror:\x1b[39m there is no sandbox 'bax'\n\x1b[1mhint:\x1b[22m Did you mean 'box'? See: smolvm ls\n",
    );
  });

  test("cannot move the cursor with what a guest said, and keep lines and backslashes", () => {
    const hostile = new SmolVMError("BOOT_FAILED", "the guest said:\r\n  \x1b]0;pwned\x07\n  ok", {
      hint: "Write 'a'\\''b'",
    });
    expect(renderError(hostile, { paint: PLAIN, verbose: false })).toBe(
      "error: the guest said:\n  \\x1b]0;pwned\\x07\n  ok\nhint: Write 'a'\\''b'\n",
    );
  });

  test("say more when asked: code, details, stack, causes", () => {
    const deep = new SmolVMError("HOST_FAILED", "outer", { cause: new Error("inner"), details: { a: 1 } });
    const text = renderError(deep, { paint: PLAIN, verbose: true });
    expect(text).toMatch(
      /^error: outer\nhint: .*\ncode: HOST_FAILED\ndetails: \{\n {2}"a": 1\n\}\nSmolVMError: outer\n {4}at /,
    );
    expect(text).toMatch(/\ncaused by: Error: inner\n {4}at /);
  });

  test("that are no SmolVMError are called a bug", () => {
    expect(
      renderError(new TypeError("x is undefined"), { paint: PLAIN, verbose: false }),
    ).toMatchInlineSnapshot(`
      "error: x is undefined
      hint: This is a bug in smolvm. Please report it with the output of the same command with --verbose.
      "
    `);
  });
});

describe("colours", () => {
  test.each([
    [true, {}, true],
    [false, {}, false],
    [true, { NO_COLOR: "1" }, false],
    [true, { NO_COLOR: "" }, true],
    [true, { TERM: "dumb" }, false],
  ])("on a terminal: %j, with %j: %j", (isTTY, env, coloured) => {
    expect(paintFor(isTTY, env as NodeJS.ProcessEnv) === COLOURS).toBe(coloured);
  });
});

describe("units", () => {
  test("memory", () =>
    expect([128, 512, 1024, 1536, 16384].map(formatMib)).toEqual(["128M", "512M", "1G", "1.5G", "16G"]));
  test("bytes", () =>
    expect([0, 1023, 1536, 118_000_000, 2 ** 41].map(formatBytes)).toEqual([
      "0B",
      "1023B",
      "1.5K",
      "113M",
      "2T",
    ]));
  test("uptime", () =>
    expect([0, 59_999, 60_000, 3_600_000, 11_100_000, 86_400_000, 100_000_000].map(formatUptime)).toEqual([
      "0s",
      "59s",
      "1m",
      "1h",
      "3h 5m",
      "1d",
      "1d 3h",
    ]));
});

test("a console that comes in pieces is shown as it is in one piece, wherever it is cut", () => {
  const text = "login:\r\r\n\x1b[2Jred\\n\rover\r\nend\r";
  for (let at = 0; at <= text.length; at++) {
    const stream = new VisibleStream();
    const shown = stream.push(text.slice(0, at)) + stream.push(text.slice(at)) + stream.end();
    expect(shown).toBe(visibleLines(text));
  }
});
