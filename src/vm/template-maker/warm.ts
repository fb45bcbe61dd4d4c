import type { VMConfig } from "../../config/options.ts";
import type { Deadline } from "../../util/deadline.ts";
import { filesOf, type Home } from "../home.ts";
import { newId } from "../lifecycle/names.ts";
import { resolveVm } from "../lifecycle/resolve.ts";
import { makeTemplate } from "./make.ts";

/**
 * Makes the template for sandboxes with such options, before there is one.
 * @throws SmolVMError as {@link makeTemplate}, and what is wrong with the options
 */
export async function warm(home: Home, config: VMConfig, deadline: Deadline): Promise<{ made: boolean }> {
  const vm = { name: "template", files: filesOf(home, newId()) };
  const spec = await resolveVm(home, { template: "auto", ...config }, vm, deadline);
  config.onProgress?.({ stage: "template", message: "booting a machine to make a template of" });
  const { made } = await makeTemplate(home, spec, deadline);
  return { made };
}
