import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SmolVMError } from "../../errors.ts";
import { type ProgramResult, type RunProgramOptions, runProgram } from "../../host/process/run.ts";
import { Deadline } from "../../util/deadline.ts";

/** Who asks a registry. */
export interface Credentials {
  readonly username: string;
  readonly password: string;
  /** given instead of a password: a token is asked for with it (OAuth 2) */
  readonly identityToken?: string | undefined;
}

/** What of the environment says where credentials are. */
export interface CredentialPlaces {
  readonly registryAuthFile?: string | undefined;
  readonly dockerConfig?: string | undefined;
  readonly userHome?: string | undefined;
  readonly xdgRuntimeDir?: string | undefined;
}

/** Docker's file and Podman's have the same form (containers-auth.json(5)). */
export interface AuthFile {
  readonly path: string;
  readonly auths: Readonly<Record<string, unknown>>;
  readonly credHelpers: Readonly<Record<string, unknown>>;
  readonly credsStore: string | undefined;
}

/** A helper answers from a keychain; one that asks somebody would be waited for. */
const HELPER_MS = 30_000;
const MAX_HELPER_BYTES = 64 * 1024;
/** What Docker calls its own registry in these files. */
const DOCKER_KEY = "https://index.docker.io/v1/";

/** What a registry is called in these files, and to helpers. Pure. */
export function keyOf(registry: string): string {
  return registry === "docker.io" ? DOCKER_KEY : registry;
}

/** Which files are looked at, in order: REGISTRY_AUTH_FILE alone if it is set. Pure. */
export function authFiles({
  registryAuthFile,
  dockerConfig,
  userHome,
  xdgRuntimeDir,
}: CredentialPlaces): string[] {
  if (registryAuthFile !== undefined) return [registryAuthFile];
  const docker = dockerConfig ?? (userHome === undefined ? undefined : join(userHome, ".docker"));
  return [
    ...(docker === undefined ? [] : [join(docker, "config.json")]),
    ...(xdgRuntimeDir === undefined ? [] : [join(xdgRuntimeDir, "containers", "auth.json")]),
  ];
}

/**
 * The credentials for a repository of a registry: of the first file that has some. Asked anew each time: a login elsewhere counts at once.
 * @returns undefined: there are none, which many registries are content with
 * @throws SmolVMError CONFIG_INVALID (a file that is none), REGISTRY_AUTH (a helper that fails), DEPENDENCY_MISSING (a helper that is not installed)
 */
export async function findCredentials(
  places: CredentialPlaces,
  registry: string,
  repository: string,
  deadline: Deadline,
): Promise<Credentials | undefined> {
  for (const path of authFiles(places)) {
    const file = readAuthFile(path);
    if (file === undefined) continue;
    const helper = helperFor(file, registry);
    if (helper !== undefined) {
      const found = await askHelper(helper, keyOf(registry), deadline);
      if (found !== undefined) return found;
    }
    const found = storedCredentials(file, registry, repository);
    if (found !== undefined) return found;
  }
  return undefined;
}

export function readAuthFile(path: string): AuthFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw new SmolVMError(
      "CONFIG_INVALID",
      `the credentials in '${path}' cannot be read: ${(error as Error).message}`,
      {
        hint: `Let it be read by you: chmod 600 '${path}'`,
        cause: error,
      },
    );
  }
  try {
    const value = JSON.parse(text) as Record<string, unknown> | null;
    const object = (key: string): Record<string, unknown> => {
      const found = value?.[key];
      return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : {};
    };
    const { credsStore } = value ?? {};
    return {
      path,
      auths: object("auths"),
      credHelpers: object("credHelpers"),
      credsStore: typeof credsStore === "string" && credsStore !== "" ? credsStore : undefined,
    };
  } catch (error) {
    throw new SmolVMError("CONFIG_INVALID", `'${path}' is not JSON`, {
      hint: "Mend it, or remove it and log in again: smolvm image login -u NAME REGISTRY < PASSWORD-FILE",
      cause: error,
    });
  }
}

/** The program that keeps a registry's credentials. Pure. @throws SmolVMError CONFIG_INVALID */
export function helperFor(file: AuthFile, registry: string): string | undefined {
  const keys = registry === "docker.io" ? [DOCKER_KEY, "docker.io", "index.docker.io"] : [registry];
  const own = keys
    .map((key) => file.credHelpers[key])
    .find((name) => typeof name === "string" && name !== "");
  const name = (own as string | undefined) ?? file.credsStore;
  if (name === undefined) return undefined;
  if (/^[\w.-]+$/.test(name)) return `docker-credential-${name}`;
  throw new SmolVMError(
    "CONFIG_INVALID",
    `'${file.path}' names a credential helper that is none ('${name.slice(0, 80)}')`,
  );
}

/** Credentials that are in the file itself: for the repository, what is above it, then the registry. Pure. */
export function storedCredentials(
  file: AuthFile,
  registry: string,
  repository: string,
): Credentials | undefined {
  const parts = repository.split("/");
  const above = parts.map((_, index) => `${registry}/${parts.slice(0, parts.length - index).join("/")}`);
  const docker =
    registry === "docker.io" ? [DOCKER_KEY, "index.docker.io", "https://index.docker.io/v2/"] : [];
  const keys = [
    ...above,
    registry,
    ...docker,
    `https://${registry}`,
    `https://${registry}/v1/`,
    `https://${registry}/v2/`,
  ];
  for (const key of keys) {
    const entry = Object.hasOwn(file.auths, key) ? file.auths[key] : undefined;
    if (typeof entry !== "object" || entry === null) continue;
    const { auth, username, password, identitytoken } = entry as Record<string, unknown>;
    const token = typeof identitytoken === "string" && identitytoken !== "" ? identitytoken : undefined;
    if (typeof auth === "string" && auth !== "") {
      const both = Buffer.from(auth, "base64").toString("utf8").replace(/\0+$/, "");
      const colon = both.indexOf(":");
      if (colon > 0)
        return { username: both.slice(0, colon), password: both.slice(colon + 1), identityToken: token };
    }
    if (typeof username === "string" && typeof password === "string" && username !== "")
      return { username, password, identityToken: token };
    if (token !== undefined) return { username: "", password: "", identityToken: token };
  }
  return undefined;
}

/** Runs a program of docker-credential-helpers' protocol. @throws SmolVMError as runProgram */
export function runHelper(
  program: string,
  verb: "get" | "store" | "erase",
  deadline: Deadline,
  options: Omit<RunProgramOptions, "deadline">,
): Promise<ProgramResult> {
  const timeoutMs = Math.min(HELPER_MS, deadline.remainingMs);
  const own = Deadline.of(`asking ${program}`, { ...deadline.limits, timeoutMs });
  return runProgram([program, verb], { ...options, deadline: own });
}

/** The registry on stdin, JSON on stdout. */
async function askHelper(
  program: string,
  registry: string,
  deadline: Deadline,
): Promise<Credentials | undefined> {
  const { code, stdout, stderr } = await runHelper(program, "get", deadline, {
    stdin: registry,
    maxOutputBytes: MAX_HELPER_BYTES,
    check: false,
    errorCode: "REGISTRY_AUTH",
    installHint: `Docker's config.json names it for ${registry}. Install it, or take its line out.`,
  });
  if (code !== 0) {
    const said = (stdout + stderr).trim();
    if (/credentials not found|no credentials server URL/i.test(said)) return undefined;
    throw new SmolVMError("REGISTRY_AUTH", `${program} gives no credentials for ${registry}`, {
      hint: `See what it says: echo ${registry} | ${program} get`,
      details: { program, said: said.slice(0, 500) },
    });
  }
  try {
    const { Username, Secret } = JSON.parse(stdout) as { Username?: unknown; Secret?: unknown };
    if (typeof Username === "string" && typeof Secret === "string")
      return Username === "<token>"
        ? { username: "", password: "", identityToken: Secret }
        : { username: Username, password: Secret };
  } catch {
    // told below
  }
  throw new SmolVMError("REGISTRY_AUTH", `${program} answers nothing that is known`, {
    hint: `See what it says: echo ${registry} | ${program} get`,
  });
}
