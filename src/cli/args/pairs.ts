import { SmolVMError } from "../../errors.ts";

/** What `--env` options, or the lines of an `--env-file`, add up to. */
export interface EnvOptions {
  readonly env: Record<string, string>;
  /** names given without a value that the caller's environment does not have either */
  readonly unset: readonly string[];
}

/**
 * Reads `--env K=V` and `--env K` (the caller's value), the last one of a name winning. Pure.
 * @throws SmolVMError USAGE
 */
export function parseEnv(texts: readonly string[], caller: NodeJS.ProcessEnv): EnvOptions {
  const env = new Map<string, string>();
  const unset: string[] = [];
  for (const text of texts) {
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    if (name === "") {
      throw new SmolVMError("USAGE", `--env: '${text}' has no name`, { hint: "Write --env NAME=VALUE" });
    }
    const value = equals < 0 ? caller[name] : text.slice(equals + 1);
    if (value === undefined) unset.push(name);
    else env.set(name, value);
  }
  return { env: Object.fromEntries(env), unset };
}

/**
 * Reads `--label K=V`, each name once. Pure.
 * @throws SmolVMError USAGE
 */
export function parseLabels(texts: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const text of texts) {
    const equals = text.indexOf("=");
    const name = text.slice(0, Math.max(0, equals));
    if (name === "") {
      throw new SmolVMError("USAGE", `--label: '${text}' is not NAME=VALUE`, {
        hint: "Write --label team=web",
      });
    }
    if (Object.hasOwn(labels, name)) {
      throw new SmolVMError("USAGE", `--label: '${name}' is given twice`, { hint: "Give each label once." });
    }
    labels[name] = text.slice(equals + 1);
  }
  return labels;
}
