import { posix } from "node:path";
import { globPattern } from "../../images/dockerfile/ignore.ts";
import type { SmolVM } from "../../smolvm.ts";
import { hasPattern } from "../plan/selection.ts";
import { ifThere } from "./if-there.ts";
import type { BuildMachine } from "./machine.ts";

/** What a path or pattern from the root on names in a sandbox, part by part, in the order of names. */
export async function matching({ vm }: BuildMachine, path: string): Promise<string[]> {
  let found = ["/"];
  for (const part of path.split("/")) {
    if (part === "") continue;
    if (!hasPattern(part)) {
      found = found.map((above) => posix.join(above, part));
      continue;
    }
    const matches = globPattern(part, false);
    const below: string[] = [];
    for (const above of found)
      for (const name of await namesIn(vm, above))
        if (matches.test(name)) below.push(posix.join(above, name));
    found = below;
  }
  const there: string[] = [];
  for (const one of found) if (await vm.files.exists(one, { user: "0" })) there.push(one);
  return there;
}

/** In order; none of what is no directory. */
async function namesIn(vm: SmolVM, directory: string): Promise<string[]> {
  const found = await ifThere(vm.files.list(directory, { user: "0" }));
  return (found ?? []).map(({ name }) => name).sort();
}
