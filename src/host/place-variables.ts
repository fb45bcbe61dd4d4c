/** The variables of the environment that say where things live: the few that are read before anything else of smolvm is loaded. An empty variable counts as unset. */
export interface PlaceVariables {
  /** `SMOLVM_HOME`: one directory for data, cache and (by hash) sockets */
  readonly home: string | undefined;
  readonly xdgDataHome: string | undefined;
  readonly xdgCacheHome: string | undefined;
  readonly xdgRuntimeDir: string | undefined;
  /** Windows: `LOCALAPPDATA` */
  readonly localAppData: string | undefined;
  /** `SMOLVM_SHARED_DIR`: where the images for all users of the machine are, instead of /var/lib/smolvm */
  readonly sharedDir: string | undefined;
}

/** Environment variables by their names. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** One variable; undefined: it is not set, or is empty. */
export function variable(env: Variables, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === "" ? undefined : value;
}

/** Reads those. Pure: takes them as they are. */
export function readPlaceVariables(env: Variables): PlaceVariables {
  return {
    home: variable(env, "SMOLVM_HOME"),
    xdgDataHome: variable(env, "XDG_DATA_HOME"),
    xdgCacheHome: variable(env, "XDG_CACHE_HOME"),
    xdgRuntimeDir: variable(env, "XDG_RUNTIME_DIR"),
    localAppData: variable(env, "LOCALAPPDATA"),
    sharedDir: variable(env, "SMOLVM_SHARED_DIR"),
  };
}
