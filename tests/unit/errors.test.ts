import { expect, test } from "vitest";
import { ERROR_CODES, type ErrorCode, inThisShell, SmolVMError } from "../../src/errors.ts";

test.each(Object.keys(ERROR_CODES) as ErrorCode[])(
  "an error of the code %s says what to do, also where nobody gave it a hint",
  (code) => {
    const { hint } = new SmolVMError(code, "it broke", { hint: undefined });
    expect(hint).toMatch(/^[A-Z"].{20,}[^:,; ]$/);
    expect(new SmolVMError(code, "it broke", { hint: "Mend it." }).hint).toBe("Mend it.");
  },
);

test("hints are in the words of the system's shell", () => {
  const said = (hint: string) => inThisShell(hint, "win32");
  expect(said("Correct it, or: unset SMOLVM_QEMU")).toBe("Correct it, or: Remove-Item Env:SMOLVM_QEMU");
  expect(said("Or: export SMOLVM_HOME=~/x")).toBe("Or: $env:SMOLVM_HOME = '~/x'");
  expect(said("export A='b c', done")).toBe("$env:A = 'b c', done");
  expect(said("Free some space (df -h '/a b'), then: smolvm stop x && smolvm start x")).toBe(
    "Free some space (Get-PSDrive), then: smolvm stop x; smolvm start x",
  );
  expect(said("smolvm image export debian debian.tgz")).toBe("smolvm image export debian debian.tgz");
  expect(inThisShell("unset A", "linux")).toBe("unset A");
});
