/**
 * The supervisor's process: `node main.js [--stay]`. Started in the background by whatever first needs one
 * (vm/supervisor/), or with `--stay` by an init system.
 */
import { useCompileCache } from "../host/files/compile-cache.ts";
import { packageVersion } from "../host/package.ts";
import { Deadline } from "../util/deadline.ts";
import { openHomeQuietly } from "../vm/home.ts";
import { askToRetire } from "../vm/supervisor/ensure.ts";
import { Supervisor } from "./supervisor.ts";

useCompileCache();

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
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.on(signal, () => void supervisor.retire().finally(() => process.exit(0)));
  log(`version ${version} begins`);
  await supervisor.run();
  log("ends");
}
process.exit(0);

/** In place of one that was started on demand. */
async function takeOver(): Promise<boolean> {
  const deadline = Deadline.within(10_000, "taking over from another supervisor");
  while (!home.store.supervisor.tryTake(version)) {
    await askToRetire(home, deadline);
    await deadline.sleep(20);
  }
  return true;
}
