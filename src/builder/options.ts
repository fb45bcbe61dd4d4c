import {
  anyText,
  type Check,
  functionValue,
  matching,
  oneOf,
  record,
  requireOption,
  text,
  wholeNumber,
} from "../config/checks.ts";
import { checkNames } from "../util/check-names.ts";

const NAME = matching(/^[A-Za-z_]\w*$/, "is no name of a variable");
const flag: Check = (value) => (typeof value === "boolean" ? undefined : "is not true or false");
const texts: Check = (value) =>
  Array.isArray(value) && value.every((item) => text(item) === undefined)
    ? undefined
    : "is no array of strings";
const content: Check = (value) =>
  typeof value === "string" || value instanceof Uint8Array ? undefined : "is neither a string nor bytes";

const OPTIONS: Readonly<Record<string, Check | undefined>> = {
  tags: texts,
  dockerfile: text,
  dockerfileText: anyText,
  buildArgs: record(NAME, anyText),
  target: text,
  platform: text,
  secrets: record(matching(/^[\w.-]+$/, "is no id"), content),
  network: oneOf("open", "off"),
  noCache: flag,
  pull: oneOf("missing", "always", "never"),
  labels: record(text, anyText),
  memSizeMib: wholeNumber(128, 1 << 20),
  vcpuCount: wholeNumber(1, 32),
  diskSizeMib: wholeNumber(64, 1 << 24),
  onProgress: functionValue,
  onEvent: functionValue,
  timeoutMs: undefined,
  signal: undefined,
};

/** @throws SmolVMError CONFIG_INVALID */
export function checkBuildOptions(directory: string, options: object): void {
  requireOption("directory", directory, text);
  checkNames(options, Object.keys(OPTIONS));
  for (const [name, value] of Object.entries(options)) {
    const check = OPTIONS[name];
    if (value !== undefined && check !== undefined) requireOption(name, value, check);
  }
}
