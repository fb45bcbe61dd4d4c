import { expect, test } from "vitest";
import { HIDDEN, hideValues, scrub, scrubText, secretsOf } from "../../../../src/vm/diagnosis/secrets.ts";

test("values of the environment and of kernel arguments are secrets, longest first, short ones not", () => {
  const env = { TOKEN: "abcdef", LONGER: "abcdef-more", FLAG: "1", KEY: "-----BEGIN\nline-two\n-----END" };
  expect(secretsOf({ env, bootArgs: 'quiet app.key="hidden here" app.n=1' })).toEqual([
    "-----BEGIN\nline-two\n-----END",
    "abcdef-more",
    "-----BEGIN",
    "line-two",
    "-----END",
    '"hidden',
    "abcdef",
    "hidden",
  ]);
});

test("what is hidden is hidden everywhere, in keys' values and within longer strings", () => {
  const secrets = ["abcdef-more", "abcdef"];
  expect(scrubText("abcdef abcdef-more", secrets)).toBe(`${HIDDEN} ${HIDDEN}`);
  expect(scrub({ a: ["x abcdef"], n: 1, none: null }, secrets)).toEqual({
    a: [`x ${HIDDEN}`],
    n: 1,
    none: null,
  });
});

test("kernel arguments keep their names", () => {
  expect(hideValues("quiet key=value a.b=c=d")).toBe(`quiet key=${HIDDEN} a.b=${HIDDEN}`);
});
