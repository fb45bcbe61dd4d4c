import { readFileSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { renameSync, rmSync } from "../../util/files-go.ts";
import { randomBytes } from "../../util/random-bytes.ts";

// A socket of this user's, named by a file in a private directory: a Unix socket, or on Windows, where Node has none, a named pipe
// whose name is in the file. That is random, so that nobody can have made a pipe of that name before; the system opens it to its
// user alone for writing.

/** A new name for a pipe that nobody can guess. */
export function newPipeName(): string {
  return `\\\\.\\pipe\\smolvm-${randomBytes(16).toString("hex")}`;
}

/** Where such a socket is connected to. @throws ENOENT: nobody listens there */
export function localAddress(path: string): string {
  return process.platform === "win32" ? readFileSync(path, "utf8").trim() : path;
}

/** Listens there; the file goes when the server is closed. @throws the error of listening */
export async function listenLocally(server: Server, path: string): Promise<void> {
  const pipe = process.platform === "win32" ? newPipeName() : undefined;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(pipe ?? path, resolve);
  });
  if (pipe === undefined) return;
  writeFileSync(`${path}.tmp`, `${pipe}\n`, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

/** Closes it, and takes its name away at once: another may listen there next. */
export function closeLocally(server: Server, path: string): void {
  server.close(); // a Unix socket goes with it
  if (process.platform === "win32") rmSync(path, { force: true });
}
