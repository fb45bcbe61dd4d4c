import { describe, expect, test } from "vitest";
import { LeaveKey } from "../../../../src/cli/terminal/leave-key.ts";
import { TerminalModes } from "../../../../src/cli/terminal/modes.ts";

describe("the way out of a hung terminal", () => {
  const press = (...times: number[]): boolean[] => {
    const key = new LeaveKey();
    return times.map((time) => key.typed(Buffer.from([0x1d]), time));
  };

  test("is Ctrl-] three times within a second", () => {
    expect(press(0, 400, 900)).toEqual([false, false, true]);
    expect(press(0, 600, 1200, 1300)).toEqual([false, false, false, true]);
  });

  test("may come in one piece, and any other key starts anew", () => {
    expect(new LeaveKey().typed(Buffer.from("ab\x1d\x1d\x1d"), 0)).toBe(true);
    expect(new LeaveKey().typed(Buffer.from("\x1d\x1da\x1d"), 0)).toBe(false);
  });
});

describe("terminal modes that a program left changed", () => {
  const undo = (...pieces: string[]): string => {
    const modes = new TerminalModes();
    for (const piece of pieces) modes.saw(Buffer.from(piece, "latin1"));
    return modes.undo();
  };

  test("are put back: alternate screen, hidden cursor, mouse, bracketed paste", () => {
    expect(undo("\x1b[?1049h\x1b[?25l...\x1b[?1000;1006h\x1b[?2004h")).toBe(
      "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b[?2004l",
    );
  });

  test("are left alone when the program put them back itself", () => {
    expect(undo("\x1b[?1049h\x1b[?25l text \x1b[?25h\x1b[?1049l")).toBe("");
  });

  test("are seen wherever a sequence is split", () => {
    const sequence = "x\x1b[?1049hy";
    for (let at = 0; at <= sequence.length; at++) {
      expect(undo(sequence.slice(0, at), sequence.slice(at))).toBe("\x1b[?1049l");
    }
  });

  test("do not grow with what never ends", () => {
    expect(undo("\x1b[?", "1".repeat(100_000), "h", "\x1b[?25l")).toBe("\x1b[?25h");
  });

  test("that nobody knows are ignored", () => {
    expect(undo("\x1b[?9999h\x1b[?h\x1b[2J")).toBe("");
  });
});
