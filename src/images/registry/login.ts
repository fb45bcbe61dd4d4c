import { readFile } from "node:fs/promises";
import { SmolVMError } from "../../errors.ts";
import { readEnvironment } from "../../host/environment.ts";
import { writeDurably } from "../../host/files/write-durably.ts";
import type { Deadline } from "../../util/deadline.ts";
import { parseReference } from "../oci/reference.ts";
import {
  authFiles,
  type CredentialPlaces,
  type Credentials,
  helperFor,
  keyOf,
  readAuthFile,
  runHelper,
} from "./credentials.ts";
import { discard } from "./http.ts";
import { RegistryClient } from "./registry-client.ts";

/** The registry that somebody names: its host, as references have it. @throws SmolVMError CONFIG_INVALID */
export function registryHost(text: string): string {
  const host = text.replace(/^https:\/\//, "").replace(/\/(?:v[12]\/?)?$/, "");
  const reference = host.includes("/") ? undefined : parseReference(`${host}/x`);
  if (reference?.kind === "registry" && reference.repository === "x") return reference.registry;
  if (host === "docker.io" || host === "index.docker.io") return "docker.io";
  throw new SmolVMError("CONFIG_INVALID", `'${text.slice(0, 300)}' is no registry`, {
    hint: "Write its host, with a port if it has one of its own: ghcr.io, localhost:5000. Without one it is docker.io.",
  });
}

/** What is needed besides the registry. */
export interface LoginOptions {
  /** plain HTTP is accepted of any host; without it only of this machine */
  readonly insecure?: boolean | undefined;
  readonly deadline: Deadline;
}

/**
 * Asks a registry whether it knows these credentials, and keeps them where Docker and Podman find them, too: in the helper that their file names, else in
 * the file.
 * @param text the registry, as somebody writes it; undefined: Docker's
 * @returns which registry that is, and where they are kept
 * @throws SmolVMError REGISTRY_AUTH, REGISTRY_FAILED, CONFIG_INVALID, HOST_FAILED
 */
export async function login(
  text: string | undefined,
  credentials: Credentials,
  { deadline, insecure }: LoginOptions,
): Promise<{ registry: string; keptIn: string }> {
  const registry = registryHost(text ?? "docker.io");
  const settings = readEnvironment(process.env);
  const client = new RegistryClient(
    { name: registry, registry, repository: "" },
    { settings, insecure, credentials },
  );
  try {
    const answer = await client.send("", {}, deadline);
    if (answer.status !== 200) throw await client.failure(answer, "a login");
    discard(answer);
  } finally {
    client.close();
  }
  const keptIn = await change(registry, settings, deadline, {
    helper: "store",
    input: JSON.stringify({
      ServerURL: keyOf(registry),
      Username: credentials.username,
      Secret: credentials.password,
    }),
    entry: { auth: Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64") },
  });
  return { registry, keptIn };
}

/**
 * Forgets the credentials for a registry.
 * @param text the registry, as somebody writes it; undefined: Docker's
 * @returns which registry that is, and where they were kept
 * @throws SmolVMError CONFIG_INVALID, HOST_FAILED
 */
export async function logout(
  text: string | undefined,
  { deadline }: LoginOptions,
): Promise<{ registry: string; keptIn: string }> {
  const registry = registryHost(text ?? "docker.io");
  const forget = { helper: "erase", input: keyOf(registry), entry: undefined } as const;
  return { registry, keptIn: await change(registry, readEnvironment(process.env), deadline, forget) };
}

async function change(
  registry: string,
  settings: CredentialPlaces,
  deadline: Deadline,
  { helper, input, entry }: { helper: "store" | "erase"; input: string; entry: { auth: string } | undefined },
): Promise<string> {
  const path = authFiles(settings)[0];
  if (path === undefined) {
    throw new SmolVMError("CONFIG_INVALID", "there is nowhere to keep credentials: this user has no home", {
      hint: "Say where: REGISTRY_AUTH_FILE=/path/auth.json",
    });
  }
  const file = readAuthFile(path);
  const program = file === undefined ? undefined : helperFor(file, registry);
  if (program !== undefined) {
    await runHelper(program, helper, deadline, {
      stdin: input,
      installHint: `'${path}' names it for ${registry}. Install it, or take its line out.`,
    });
    return program;
  }
  const text = await readFile(path, "utf8").catch(() => "{}"); // readAuthFile has told what is wrong with one that is there
  const all = JSON.parse(text) as { auths?: Record<string, unknown> };
  const auths = { ...all.auths };
  delete auths[keyOf(registry)];
  if (entry !== undefined) auths[keyOf(registry)] = entry;
  await writeDurably(path, `${JSON.stringify({ ...all, auths }, undefined, 2)}\n`);
  return path;
}
