import { expect, test } from "vitest";
import { lastLines, programFailed, programMissing } from "../../../../src/host/process/run.ts";

const ENDED = { code: 2, signal: undefined, durationMs: 12.3, stderr: "one\ntwo\n" };

test("the error for a failed program has its name, exit code, duration and last lines", () => {
  const error = programFailed(["tar", "-x", "a b"], ENDED, "IMAGE_BUILD_FAILED");
  expect(error.code).toBe("IMAGE_BUILD_FAILED");
  expect(error.message).toBe("'tar' exited with 2 after 12 ms: one\ntwo");
  expect(error.details).toEqual({
    argv: ["tar", "-x", "a b"],
    exitCode: 2,
    signal: undefined,
    durationMs: 12,
    stderr: "one\ntwo",
  });
});

test("a signal is named, and silence is not quoted", () => {
  expect(programFailed(["x"], { ...ENDED, code: undefined, signal: "SIGTERM", stderr: "" }).message).toBe(
    "'x' was ended by SIGTERM after 12 ms",
  );
});

test("a program that is not there comes with what installs it", () => {
  expect(programMissing("mmdebstrap", "Install it: sudo apt-get install -y mmdebstrap")).toMatchObject({
    code: "DEPENDENCY_MISSING",
    message: "mmdebstrap not found",
    hint: "Install it: sudo apt-get install -y mmdebstrap",
  });
});

test("only the last lines and characters are kept", () => {
  expect(lastLines("a\nb\nc\n", 2, 100)).toBe("b\nc");
  expect(lastLines("aaaa", 2, 3)).toBe("aaa");
});
