import { describe, expect, test } from "vitest";
import { changedEnv, checkEnv } from "../../../src/config/env.ts";

describe("changing an environment", () => {
  test("sets and takes away, and keeps the rest", () => {
    const env = { A: "1", B: "2", C: "3" };
    expect(changedEnv(env, { B: "two", C: undefined, D: "", NOT_THERE: undefined })).toEqual({
      A: "1",
      B: "two",
      D: "",
    });
    expect(env).toEqual({ A: "1", B: "2", C: "3" });
  });

  test("refuses what no environment can hold, and does not repeat values, which may be secrets", () => {
    const refusal = (change: Record<string, string | null>): unknown => {
      try {
        return changedEnv({ A: "1" }, change);
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(refusal({ "": "secret" })).toBe("the environment has the name '', which is empty");
    expect(refusal({ "X=": "secret" })).toBe("the environment has the name 'X=', which holds a '='");
    expect(refusal({ X: "secret\0" })).toBe("the environment has 'X', whose value contains a NUL character");
    expect(refusal({ X: null })).toBe("the environment has 'X', whose value is not a string");
    expect(refusal({ X: "x".repeat(131_070) })).toBe(
      "the environment has 'X', which is longer than 131071 bytes",
    );
    expect(refusal({ X: "x".repeat(131_000), Y: "ü".repeat(65_000), Z: "z".repeat(2000) })).toBe(
      "the environment is longer than 262144 bytes",
    );
  });

  test("the most that is accepted is accepted", () => {
    expect(checkEnv({ X: "x".repeat(131_069) })).toBeUndefined();
  });
});
