import { SmolVM } from "../../smolvm.ts";
import { timeoutOption } from "../args/duration.ts";
import { environment } from "../args/environment.ts";
import { COMMON_OPTIONS, FIXED_OPTIONS, SANDBOX_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import { sandboxConfig } from "../args/sandbox-config.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

/** What each sandbox has of its own when it is taken, or what only one can have. */
const OF_ONE: ReadonlySet<string> = new Set(
  "name label ttl hostname drive disk-mode image volume yes-share-it".split(" "),
);

const spec: CommandSpec = {
  name: "pool create",
  usage: "[OPTIONS] [IMAGE]",
  operands: { min: 0, max: 1, what: "an image", complete: "images" },
  options: [
    { name: "size", value: "N", help: "how many sandboxes are to wait, 1-1000 (default: 2)" },
    { name: "name", value: "NAME", help: "name of the pool (default: the image's)" },
    ...FIXED_OPTIONS.filter(({ name }) => !OF_ONE.has(name)),
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "smolvm's supervisor keeps so many sandboxes waiting, each started and warmed up by a command, from now on. smolvm run --pool NAME takes one, which has an identity of its own from then on. Prints the pool's name.",
  ],
  examples: ["smolvm pool create --size 4", "smolvm pool create --name big --memory 2G --size 1 debian"],
};

/** A pool's name after an image: the last part of its reference, and of that what a name may have: python-3-12. Pure. */
export function nameAfter(image: string): string {
  const last = image.replace(/@.*$/, "").split("/").at(-1)!.toLowerCase();
  const name = last
    .replace(/[^a-z0-9_-]+/g, "-")
    .slice(0, 64)
    .replace(/^[-_]+|[-_]+$/g, "");
  return name === "" ? image : name;
}

async function poolCreateCommand(io: Io, args: Arguments): Promise<Outcome> {
  const image = args.operands[0];
  const size = args.value("size") ?? "2";
  if (!/^\d{1,9}$/.test(size)) throw usage(spec, `--size: '${size}' is not a whole number`, "Write --size 4");
  const { name: _, ...config } = sandboxConfig(args.declaring(SANDBOX_OPTIONS), await environment(io, args));
  const info = await SmolVM.pools.create({
    ...config,
    ...(image === undefined ? {} : { image }),
    name: args.value("name") ?? nameAfter(image ?? "debian"),
    size: Number(size),
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
  });
  io.note(`It is filled in the background. Take one with: smolvm run --pool ${info.name} -- COMMAND`);
  return { data: info, text: () => `${info.name}\n` };
}

export const poolCreate: Command = { spec, run: poolCreateCommand };
