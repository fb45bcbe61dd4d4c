import { canonicalJson, type Json, jsonProblem } from "../util/json.ts";
import { type Check, matching, record } from "./checks.ts";

/** Most bytes of a sandbox's labels, as JSON. */
const MAX_BYTES = 16 * 1024;

/** Labels of a sandbox: names with any value that JSON can say. */
export const checkLabels: Check = (value) => {
  const problem = checkEach(value);
  if (problem !== undefined) return problem;
  const bytes = Buffer.byteLength(canonicalJson(value as Record<string, Json>));
  return bytes > MAX_BYTES ? `is ${bytes} bytes of JSON, more than ${MAX_BYTES}` : undefined;
};

const checkEach = record(matching(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/, "is not a label name"), (value) =>
  jsonProblem(value),
);
