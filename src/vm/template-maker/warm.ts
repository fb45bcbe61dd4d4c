import type { VMConfig } from "../../config/options.ts";
import type { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";
import { resolveVm } from "../lifecycle/resolve.ts";
import { planTemplate } from "../templates/plan.ts";
import { giveWarmUps } from "../templates/warm-ups.ts";
import { makeTemplate } from "./make.ts";

/**
 * Makes the template for sandboxes with such options, before there is one.
 * @param config with `forAll`: sandboxes of that kind that do not say what their template has run start from this one from now on
 * @throws SmolVMError as {@link makeTemplate}, and what is wrong with the options
 */
export async function warm(
  home: Home,
  { forAll = false, ...config }: VMConfig & { readonly forAll?: boolean | undefined },
  deadline: Deadline,
): Promise<{ made: boolean }> {
  const vm = { name: "template", files: filesOf(home, newId()) };
  const spec = await resolveVm(home, { template: "auto", ...config }, vm, deadline);
  config.onProgress?.({ stage: "template", message: "booting a machine to make a template of" });
  const { made } = await makeTemplate(home, spec, deadline);
  const plan = planTemplate(home.paths, spec);
  if (forAll && "kind" in plan) giveWarmUps(home.paths, plan.kind, plan.warm);
  return { made };
}
