import { expect } from "vitest";
import { type CliRun, cli } from "./cli.ts";

/** Runs smolvm, and has it die at that place (src/host/failpoint.ts). */
export async function dieAt(failpoint: string, args: readonly string[]): Promise<void> {
  const { signal, stderr } = await cli(args, { env: { SMOLVM_FAILPOINT: failpoint } });
  // What it said goes into the message: an expectation of an object's part would leave it out.
  expect(signal, `smolvm ${args.join(" ")} at ${failpoint}: ${stderr}`).toBe("SIGKILL");
}

/** Runs smolvm, which must do what it is asked for. */
export async function done(args: readonly string[]): Promise<CliRun> {
  const run = await cli(args);
  expect(run.code, `smolvm ${args.join(" ")}: ${run.stderr}`).toBe(0);
  return run;
}

/** The states of all sandboxes, by their names. */
export async function states(): Promise<Record<string, string>> {
  const { data } = JSON.parse((await done(["ls", "--json"])).text) as {
    data: { name: string; state: string }[];
  };
  return Object.fromEntries(data.map(({ name, state }) => [name, state]));
}
