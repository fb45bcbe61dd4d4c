import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { labCacheDir } from "../lab/parts.ts";
import { until } from "./wait.ts";

const VERSION = "v0.22.1";
const MODULE = "github.com/google/go-containerregistry/cmd";

/**
 * Where Google's registry and crane are, made once of the Go module's source. Undefined: they are not, and cannot be made: there is no Go here that is new
 * enough (a minute of building: only with SMOLVM_TEST_LONG).
 */
export function googleTools(): string | undefined {
  const directory = join(labCacheDir(), `google-registry-${VERSION}`);
  if (existsSync(join(directory, "registry")) && existsSync(join(directory, "crane"))) return directory;
  if (process.env.SMOLVM_TEST_LONG === undefined) return undefined;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const go = ["go", "/usr/local/go/bin/go"].find((path) => {
    const version = spawnSync(path, ["version"], { encoding: "utf8" }).stdout ?? "";
    return Number(/go1\.(\d+)/.exec(version)?.[1] ?? 0) >= 24;
  });
  if (go === undefined) return undefined;
  execFileSync(go, ["install", `${MODULE}/registry@${VERSION}`, `${MODULE}/crane@${VERSION}`], {
    env: { ...process.env, GOBIN: directory },
    stdio: "ignore",
  });
  return directory;
}

/** Google's registry, in memory, on a port of 127.0.0.1. */
export async function startGoogleRegistry(tools: string): Promise<{ host: string; stop(): Promise<void> }> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  const child = spawn(join(tools, "registry"), ["-port", String(port)], { stdio: "ignore" });
  const host = `127.0.0.1:${port}`;
  await until("Google's registry answers", () => {
    return spawnSync("curl", ["-fs", "-o", "/dev/null", `http://${host}/v2/`]).status === 0;
  });
  return {
    host,
    stop: async () => {
      const over = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.kill("SIGKILL")) await over;
    },
  };
}
