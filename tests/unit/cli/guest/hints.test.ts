import { expect, test } from "vitest";
import { withCommandHint } from "../../../../src/cli/guest/hints.ts";
import { type ErrorCode, SmolVMError } from "../../../../src/errors.ts";

function hint(code: ErrorCode, ...command: string[]): string | undefined {
  const error = new SmolVMError(code, "no", { hint: "the library's" });
  return (withCommandHint(error, "smolvm exec box", command) as SmolVMError).hint;
}

test("a program that is not there and looks like a shell line gets the command that was meant", () => {
  expect(hint("COMMAND_NOT_FOUND", "ls -la")).toBe(
    "For a shell line write: smolvm exec box -- sh -c 'ls -la'",
  );
  expect(hint("COMMAND_NOT_FOUND", "echo 'a'")).toBe(
    `For a shell line write: smolvm exec box -- sh -c 'echo '\\''a'\\'''`,
  );
  expect(hint("COMMAND_NOT_FOUND", "nope", "-la")).toBe("Give its full path, or install it in the sandbox.");
});

test("limits are named by their flags, and other hints are left alone", () => {
  expect(hint("RUN_TIMEOUT", "x")).toBe("Raise --timeout if it needs longer.");
  expect(hint("OUTPUT_LIMIT", "x")).toMatch(/^Leave --json out/);
  expect(hint("VM_STATE", "x")).toBe("the library's");
  const other = new TypeError("bug");
  expect(withCommandHint(other, "smolvm run", [])).toBe(other);
});
