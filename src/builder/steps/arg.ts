import type { Instruction } from "../../images/dockerfile/parse.ts";
import { lookupIn, type StageState } from "../../images/dockerfile/state.ts";
import type { Build } from "../build.ts";
import { declared } from "../plan/arguments.ts";
import { atLine } from "../plan/errors.ts";

/** ARG: what it declares is what was given, its own default, what an ARG before the first FROM says, or what the platform is. */
export function declareArguments(
  { plan, args: given, platform }: Build,
  state: StageState,
  { line, text }: Instruction,
): StageState {
  const args = new Map(state.args);
  for (const [name, value] of atLine(plan.file, line, () => declared(text, plan.escaping, lookupIn(state)))) {
    const known = given.declare(name) ?? value ?? plan.globals.get(name) ?? platform.get(name);
    if (known !== undefined) args.set(name, known);
  }
  return { ...state, args };
}
