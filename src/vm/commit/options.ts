import {
  all,
  anyText,
  type Check,
  functionValue,
  matching,
  record,
  requireOption,
  text,
} from "../../config/checks.ts";
import { checkNames } from "../../util/check-names.ts";
import { limited } from "../../util/deadline.ts";
import { isSignal } from "../../util/guest-signals.ts";

const VARIABLE = matching(/^[^=\0]+$/, "is no name of a variable");
const ABSOLUTE = all(text, matching(/^\//, "is not absolute"));
const PORT = matching(/^\d{1,5}(?:\/(?:tcp|udp|sctp))?$/, "is no port, as 80 or 53/udp");

const list =
  (item: Check): Check =>
  (value) => {
    if (!Array.isArray(value)) return "is not an array";
    for (const one of value) {
      const problem = item(one);
      if (problem) return `has ${JSON.stringify(one)}, which ${problem}`;
    }
    return undefined;
  };

const orGone =
  (check: Check): Check =>
  (value) =>
    value === undefined ? undefined : check(value);

const CHANGES: Readonly<Record<string, Check>> = {
  env: record(VARIABLE, orGone(anyText)),
  user: text,
  workdir: ABSOLUTE,
  entrypoint: list(anyText),
  cmd: list(anyText),
  exposedPorts: list(PORT),
  volumes: list(ABSOLUTE),
  labels: record(text, orGone(anyText)),
  stopSignal: all(text, (value) => (isSignal(value as string) ? undefined : "is no signal, as SIGTERM")),
};

/** @throws SmolVMError CONFIG_INVALID */
export function checkCommitOptions(options: object): void {
  limited(options, "config", "changes", "author", "message", "onProgress");
  const { config, changes, author, message, onProgress } = options as Record<string, unknown>;
  if (changes !== undefined) requireOption("changes", changes, list(text));
  if (author !== undefined) requireOption("author", author, text);
  if (message !== undefined) requireOption("message", message, text);
  if (onProgress !== undefined) requireOption("onProgress", onProgress, functionValue);
  if (config === undefined) return;
  requireOption("config", config, (value) =>
    typeof value === "object" && value !== null && !Array.isArray(value) ? undefined : "is not an object",
  );
  checkNames(config as object, Object.keys(CHANGES));
  for (const [name, value] of Object.entries(config as object))
    if (value !== undefined) requireOption(`config.${name}`, value, CHANGES[name]!);
}
