import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ProgressDisplay, progressLine } from "../../../../src/cli/render/progress.ts";

describe("the line", () => {
  test("says what and for how long, and a share where it is known", () => {
    expect(progressLine({ stage: "boot", message: "waiting for the guest" }, 1234, 80)).toBe(
      "waiting for the guest (1.2 s)",
    );
    expect(progressLine({ stage: "copy", message: "copying", fraction: 0.456 }, 61_000, 80)).toBe(
      "copying 45% (61.0 s)",
    );
  });

  test("never wraps: a line that is redrawn must stay one", () => {
    expect(progressLine({ stage: "x", message: "a very long message" }, 0, 10)).toBe("a very lo");
  });

  test("cannot be broken by what a tool printed", () => {
    expect(progressLine({ stage: "x", message: "a\x1b[2J\nb" }, 0, 80)).toBe("a\\x1b[2J\\nb (0.0 s)");
  });
});

describe("the display", () => {
  let now = 0;
  let written: string[] = [];
  const display = (isTTY: boolean): ProgressDisplay =>
    new ProgressDisplay({ isTTY, columns: () => 80, write: (text) => written.push(text), now: () => now });
  const pass = (ms: number): void => {
    for (let left = ms; left > 0; left -= 100) {
      now += 100;
      vi.advanceTimersByTime(100);
    }
  };

  beforeEach(() => {
    now = 0;
    written = [];
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  test("on a terminal redraws one line and takes it away", () => {
    const shown = display(true);
    shown.update({ stage: "boot", message: "booting" });
    pass(300);
    shown.end();
    pass(300);
    expect(written).toEqual(["\rbooting (0.2 s)\x1b[K", "\rbooting (0.3 s)\x1b[K", "\r\x1b[K"]);
  });

  test("shows nothing of what is over at once", () => {
    const shown = display(true);
    shown.update({ stage: "boot", message: "booting" });
    pass(100);
    shown.end();
    expect(written).toEqual([]);
  });

  test("without a terminal that line is what the stage began with", () => {
    const shown = display(false);
    shown.update({ stage: "rootfs", message: "installing Debian" });
    pass(1_000);
    shown.update({ stage: "rootfs", message: "I: a detail" });
    pass(5_000);
    shown.end();
    expect(written).toEqual(["installing Debian ...\n"]);
  });

  test("without a terminal a stage that lasts gets one line", () => {
    const shown = display(false);
    shown.update({ stage: "quick", message: "quick" });
    pass(1000);
    shown.update({ stage: "kernel", message: "downloading the kernel" });
    pass(10_000);
    shown.update({ stage: "kernel", message: "still downloading" });
    pass(10_000);
    shown.end();
    expect(written).toEqual(["downloading the kernel ...\n"]);
  });
});
