/**
 * A process in the background that makes one template and ends: `node make-template.js SPEC`, where SPEC is JSON of the sandbox that
 * it is for (vm/templates/later.ts).
 */
import { writeFileSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { setPriority } from "node:os";
import type { VmSpec } from "../config/spec.ts";
import { templateLayout } from "../snapshots/layout.ts";
import { Deadline } from "../util/deadline.ts";
import { openHomeQuietly } from "../vm/home.ts";
import { makeTemplate } from "../vm/template-maker/make.ts";
import { planTemplate } from "../vm/templates/plan.ts";

enableCompileCache?.();

/** A boot beside whatever the user does, with the least right to the CPU. */
const MAKE_MS = 10 * 60_000;
const LOWEST_PRIORITY = 19;

const log = (line: string): void => console.log(`${new Date().toISOString()} ${process.pid} ${line}`);

setPriority(LOWEST_PRIORITY); // also of the machine that it boots
const home = openHomeQuietly();
const spec = JSON.parse(process.argv[2] ?? "null") as VmSpec;
try {
  const { key, made } = await makeTemplate(home, spec, Deadline.within(MAKE_MS, "making a template"));
  log(made ? `made ${key}` : `${key} is there already`);
} catch (error) {
  log(`failed: ${(error as Error)?.stack ?? error}`);
  const plan = planTemplate(home.paths, spec);
  if ("key" in plan)
    writeFileSync(templateLayout(home.paths).failure(plan.key), `${error}\n`, { mode: 0o600 });
  process.exit(1);
}
process.exit(0);
