import { SmolVM } from "../../smolvm.ts";
import { timeoutOption } from "../args/duration.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";
import { formatBytes } from "../render/units.ts";

const spec: CommandSpec = {
  name: "commit",
  usage: "[OPTIONS] NAME IMAGE",
  operands: { min: 2, max: 2, what: "the sandbox's name or the image's", complete: "sandboxes" },
  options: [
    {
      name: "change",
      short: "c",
      value: "LINE",
      repeat: true,
      help: "what the image says otherwise: CMD, ENTRYPOINT, ENV, LABEL, USER, ... as in a Dockerfile",
    },
    { name: "message", short: "m", value: "TEXT", help: "for the image's history" },
    { name: "author", short: "a", value: "TEXT", help: "who has made it" },
    { name: "timeout", value: "TIME", help: "give up after that time" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Makes an image of what the sandbox has become: what its disk holds over its image becomes a layer over that. It goes on as before; one that runs stands still while its disk is read. The image holds what the sandbox holds, secrets too. Prints the image's name.",
  ],
  examples: [
    `smolvm commit -c 'CMD ["app"]' -c "ENV A=b" box mine`,
    "smolvm commit box mine",
    "smolvm commit box ghcr.io/me/mine:1 && smolvm image push ghcr.io/me/mine:1",
  ],
};

async function commitCommand(io: Io, args: Arguments): Promise<Outcome> {
  const [name, image] = args.operands as [string, string];
  const vm = await SmolVM.get(name);
  const made = await vm.commit(image, {
    changes: args.values("change"),
    message: args.value("message"),
    author: args.value("author"),
    onProgress: io.onProgress,
    timeoutMs: timeoutOption(args),
    signal: io.interrupts.signal,
  });
  io.note(`made ${made.name} (${made.arch}, ${formatBytes(made.sizeBytes)}, ${made.digest.slice(0, 19)})`);
  return { data: made, text: () => `${made.name}\n` };
}

export const commit: Command = { spec, run: commitCommand };
