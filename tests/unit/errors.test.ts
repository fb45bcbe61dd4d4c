import { expect, test } from "vitest";
import { ERROR_CODES, type ErrorCode, SmolVMError } from "../../src/errors.ts";

test.each(Object.keys(ERROR_CODES) as ErrorCode[])(
  "an error of the code %s says what to do, also where nobody gave it a hint",
  (code) => {
    const { hint } = new SmolVMError(code, "it broke", { hint: undefined });
    expect(hint).toMatch(/^[A-Z"].{20,}[^:,; ]$/);
    expect(new SmolVMError(code, "it broke", { hint: "Mend it." }).hint).toBe("Mend it.");
  },
);
