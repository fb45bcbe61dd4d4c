import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { until } from "./wait.ts";

export interface DockerRegistry {
  /** 127.0.0.1:PORT */
  readonly host: string;
  stop(): Promise<void>;
}

/** Debian's registry (docker-registry) on a port of 127.0.0.1, with what is in it below a directory. */
export async function startDockerRegistry(
  directory: string,
  {
    htpasswd,
    tls,
    token,
  }: {
    htpasswd?: string;
    tls?: { certificate: string; key: string };
    /** who gives out tokens, and the certificate of the key that they are signed by */
    token?: { realm: string; certificate: string };
  } = {},
): Promise<DockerRegistry> {
  const host = `127.0.0.1:${await freePort()}`;
  mkdirSync(directory, { recursive: true });
  const config = join(directory, "config.yml");
  const auth =
    token !== undefined
      ? `auth: {token: {realm: "${token.realm}", service: here, issuer: issuer, rootcertbundle: ${token.certificate}}}\n`
      : htpasswd === undefined
        ? ""
        : `auth: {htpasswd: {realm: here, path: ${htpasswd}}}\n`;
  const secured = tls === undefined ? "" : `, tls: {certificate: ${tls.certificate}, key: ${tls.key}}`;
  writeFileSync(
    config,
    `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: ${join(directory, "data")}}, delete: {enabled: true}}
http: {addr: "${host}", secret: "${createHash("sha256").update(directory).digest("hex")}"${secured}}
${auth}`,
  );
  const child = spawn("docker-registry", ["serve", config], { stdio: "ignore" });
  const scheme = tls === undefined ? "http" : "https";
  await until(`the registry answers on ${host}`, () => answers(`${scheme}://${host}/v2/`));
  return { host, stop: () => ended(child) };
}

function answers(url: string): boolean {
  try {
    execFileSync("curl", ["-ks", "-o", "/dev/null", url], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

async function ended(child: ChildProcess): Promise<void> {
  const over = new Promise((resolve) => child.once("exit", resolve));
  if (child.exitCode === null && child.kill("SIGKILL")) await over;
}
