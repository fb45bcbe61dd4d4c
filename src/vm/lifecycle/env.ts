import { changedEnv } from "../../config/env.ts";

type Variables = Readonly<Record<string, string>>;

/**
 * The environment that a sandbox's commands get from it, under what a command asks for itself. It is kept with the sandbox:
 * changes are for commands that are started from then on, by any process and after any restart; what runs keeps what it has.
 * Values are plain text on this machine's disk, readable to this user alone.
 *
 * Every method may throw SmolVMError VM_NOT_FOUND.
 */
export interface SandboxEnv {
  /** All variables. */
  list(): Promise<Record<string, string>>;
  /** One variable's value; undefined if it is not set. */
  get(name: string): Promise<string | undefined>;
  /**
   * Sets variables, or takes those away whose value is undefined: all of them at once or, when it throws, none.
   * @throws SmolVMError CONFIG_INVALID for a name or value that cannot be, and beyond 256 KiB of them
   */
  set(variables: Readonly<Record<string, string | undefined>>): Promise<void>;
  /** Sets one variable. */
  set(name: string, value: string): Promise<void>;
  /** Takes variables away. Those that are not set are fine. */
  delete(...names: string[]): Promise<void>;
}

/** Where the variables are kept. */
export interface EnvStore {
  read(): Variables;
  /** replaces them by what `change` makes of them, with nothing in between */
  change(change: (env: Variables) => Variables): Promise<void>;
}

/** A sandbox's environment, as users see it. */
export function sandboxEnv(store: EnvStore): SandboxEnv {
  const change = (variables: Readonly<Record<string, string | null | undefined>>): Promise<void> =>
    store.change((env) => changedEnv(env, variables));
  return {
    list: async () => ({ ...store.read() }),
    get: async (name) => {
      const env = store.read();
      return Object.hasOwn(env, name) ? env[name] : undefined;
    },
    set: async (variables: string | Readonly<Record<string, string | undefined>>, value?: string) =>
      // set(name) without a value is a mistake, and not meant to take it away.
      change(typeof variables === "string" ? Object.fromEntries([[variables, value ?? null]]) : variables),
    delete: async (...names) => change(Object.fromEntries(names.map((name) => [name, undefined]))),
  };
}
