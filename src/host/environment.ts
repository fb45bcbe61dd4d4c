import { type PlaceVariables, readPlaceVariables, type Variables, variable } from "./place-variables.ts";

/** The variables of the environment that mean something to smolvm. An empty variable counts as unset. */
export interface Environment extends PlaceVariables {
  /** `SMOLVM_BACKEND`: auto, firecracker or qemu */
  readonly backend: string | undefined;
  /** `SMOLVM_LOG`: log level */
  readonly log: string | undefined;
  /** `SMOLVM_QEMU`: path of the qemu-system binary to use */
  readonly qemu: string | undefined;
  /** `SMOLVM_FIRECRACKER`: path of the firecracker binary to use */
  readonly firecracker: string | undefined;
  /** `SMOLVM_NATIVE_DIR`: where the agents, the monitor and the file server are, instead of in the package */
  readonly nativeDir: string | undefined;
  /** `SMOLVM_ALLOW_OLD_FIRECRACKER` is 1: for tests only, versions of Firecracker that are too old are used */
  readonly allowOldFirecracker: boolean;
  /** `SMOLVM_TEMPLATE`: auto or off, where the option `template` is not given */
  readonly template: string | undefined;
  /** `SMOLVM_TRANSLATIONS`: "off": code that a QEMU of ours has kept is not used, for comparisons */
  readonly translations: string | undefined;
  /** `SMOLVM_SUPERVISOR`: "off": nothing is started in the background */
  readonly supervisor: string | undefined;
  /** `SMOLVM_FAILPOINT`: for tests, where to die (host/failpoint.ts) */
  readonly failpoint: string | undefined;
  /** `SMOLVM_TRANSPORT`: for tests, "tcp" takes the transport of hosts without Unix sockets */
  readonly transport: string | undefined;
  /** `SMOLVM_RESOLVER`: for tests, ADDRESS:PORT of the name server that restricted networks ask */
  readonly resolver: string | undefined;
  /** `PATH`, the search path of programs */
  readonly path: string | undefined;
  /** `HOME` (Windows: `USERPROFILE`) */
  readonly userHome: string | undefined;
  /** `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in capitals or not: for registries */
  readonly httpsProxy: string | undefined;
  readonly httpProxy: string | undefined;
  readonly noProxy: string | undefined;
  /** `SSL_CERT_FILE`: certificates (PEM) that are trusted besides Node's */
  readonly sslCertFile: string | undefined;
  /** `REGISTRY_AUTH_FILE`: credentials for registries, instead of Docker's and Podman's files */
  readonly registryAuthFile: string | undefined;
  /** `SOURCE_DATE_EPOCH`: times in images that are made here are no later, in s since 1970 */
  readonly sourceDateEpoch: string | undefined;
  /** `DOCKER_CONFIG`: the directory of Docker's config.json */
  readonly dockerConfig: string | undefined;
  readonly xdgConfigHome: string | undefined;
  /** `SMOLVM_DOWNLOADS_MAX`: most that is kept of what was downloaded from registries, e.g. "20G" */
  readonly downloadsMax: string | undefined;
  /** `SMOLVM_REGISTRY_MIRRORS`: "docker.io=https://mirror.example,..." */
  readonly registryMirrors: string | undefined;
}

/** The one place that reads environment variables (and place-variables.ts). Pure: takes them as they are. */
export function readEnvironment(env: Variables): Environment {
  const get = (name: string): string | undefined => variable(env, name);
  return {
    ...readPlaceVariables(env),
    backend: get("SMOLVM_BACKEND"),
    log: get("SMOLVM_LOG"),
    qemu: get("SMOLVM_QEMU"),
    firecracker: get("SMOLVM_FIRECRACKER"),
    nativeDir: get("SMOLVM_NATIVE_DIR"),
    allowOldFirecracker: get("SMOLVM_ALLOW_OLD_FIRECRACKER") === "1",
    template: get("SMOLVM_TEMPLATE"),
    translations: get("SMOLVM_TRANSLATIONS"),
    supervisor: get("SMOLVM_SUPERVISOR"),
    failpoint: get("SMOLVM_FAILPOINT"),
    transport: get("SMOLVM_TRANSPORT"),
    resolver: get("SMOLVM_RESOLVER"),
    path: get("PATH") ?? get("Path"),
    userHome: get("HOME") ?? get("USERPROFILE"),
    httpsProxy: get("HTTPS_PROXY") ?? get("https_proxy"),
    // Not in capitals where a web server passes a request's "Proxy:" header on as that (httpoxy.org).
    httpProxy: get("http_proxy") ?? (get("REQUEST_METHOD") === undefined ? get("HTTP_PROXY") : undefined),
    noProxy: get("NO_PROXY") ?? get("no_proxy"),
    sslCertFile: get("SSL_CERT_FILE"),
    registryAuthFile: get("REGISTRY_AUTH_FILE"),
    sourceDateEpoch: get("SOURCE_DATE_EPOCH"),
    dockerConfig: get("DOCKER_CONFIG"),
    xdgConfigHome: get("XDG_CONFIG_HOME"),
    downloadsMax: get("SMOLVM_DOWNLOADS_MAX"),
    registryMirrors: get("SMOLVM_REGISTRY_MIRRORS"),
  };
}
