/**
 * The supervisor's process: `node main.js [--stay]`. Started in the background by whatever first needs one
 * (vm/supervisor/), or with `--stay` by an init system.
 */
import { compileCacheDirectory, useCompileCache } from "../host/files/compile-cache.ts";
import { packageVersion } from "../host/package.ts";
import { Deadline } from "../util/deadline.ts";
import { isOlder } from "../util/versions.ts";
import { openHomeQuietly } from "../vm/home.ts";
import { askToRetire } from "../vm/supervisor/ensure.ts";
import { STARTED_AGAIN_STATUS } from "../vm/supervisor/manage.ts";
import { Supervisor } from "./supervisor.ts";

const compileCache = compileCacheDirectory();
if (compileCache !== undefined) useCompileCache(compileCache);

const log = (line: string): void => console.log(`${new Date().toISOString()} ${process.pid} ${line}`);
const fail = (error: unknown): never => {
  log(`failed: ${(error as Error)?.stack ?? error}`);
  process.exit(1); // what it did is in the store: the next one goes on
};
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);

const stay = process.argv.includes("--stay");
const home = openHomeQuietly();
const version = packageVersion();
const isSupervisor = home.store.supervisor.tryTake(version) || (stay && (await takeOver()));
if (isSupervisor) {
  const supervisor = new Supervisor(home, { version, stay, log });
  let told = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      told = true;
      void supervisor.retire().finally(() => process.exit(0));
    });
  }
  log(`version ${version} begins`);
  await supervisor.run();
  log("ends");
  // It made room for one of the newer program, which was started on demand and goes again: what the init system starts now is that program, and stays.
  if (stay && !told && isOlder(version, packageVersion())) process.exit(STARTED_AGAIN_STATUS);
}
process.exit(0);

/** In place of one that was started on demand; not of a newer program's, which would take its place back with each command. */
async function takeOver(): Promise<boolean> {
  const deadline = Deadline.within(10_000, "taking over from another supervisor");
  while (!home.store.supervisor.tryTake(version)) {
    const other = home.store.supervisor.current()?.version ?? version;
    if (isOlder(version, other)) {
      log(`version ${version} is older than ${other}, which runs`);
      return false;
    }
    await askToRetire(home, deadline);
    await deadline.sleep(20);
  }
  return true;
}
