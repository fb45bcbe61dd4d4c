import {
  needsRoot,
  runSetup,
  type SetupRequest,
  setupCommandLine,
  setupOptions,
  setupScript,
} from "../../doctor/setup.ts";
import { SmolVMError } from "../../errors.ts";
import { COMMON_OPTIONS } from "../args/options.ts";
import { usage } from "../args/parse.ts";
import type { Arguments } from "../arguments.ts";
import type { Command, CommandSpec, Outcome } from "../command.ts";
import type { Io } from "../io.ts";

const spec: CommandSpec = {
  name: "setup",
  usage: "[OPTIONS]",
  operands: { min: 0, max: 0, what: "nothing" },
  options: [
    { name: "configure-runtime", help: "also taps and their packet filter, now and after every reboot" },
    { name: "check", help: "only say what is missing (exit code 1 if something is)" },
    { name: "dry-run", help: "only say what would be done" },
    { name: "uninstall", help: "undo what setup has changed, and nothing else" },
    { name: "user", value: "NAME", help: "the user who runs sandboxes (default: you)" },
    {
      name: "private-networks",
      value: "MODE",
      help: "open: guests with taps reach private networks too; closed (default)",
    },
    { name: "firecracker-archive", value: "FILE", help: "take Firecracker from this archive of its release" },
    { name: "yes", short: "y", help: "do it without asking" },
    ...COMMON_OPTIONS,
  ],
  exit: "plain",
  notes: [
    "Installs QEMU and tools, Firecracker where there is KVM, and lets you open /dev/kvm. On macOS: QEMU by Homebrew.",
    "It changes a Linux machine as root only, and never calls sudo itself: it prints the command. Running sandboxes needs neither.",
  ],
  examples: [
    "smolvm setup --check",
    "smolvm setup --dry-run --configure-runtime",
    "smolvm setup --uninstall",
  ],
};

async function setupCommand(io: Io, args: Arguments): Promise<Outcome> {
  const request = requestOf(args);
  const script = setupScript();
  if (needsRoot(request, process.platform, process.getuid?.() ?? 0)) throw rootRequired(request);
  if (request.mode === "apply" && !args.flag("yes") && !(await agreed(io, request))) {
    throw new SmolVMError("ABORTED", "nothing was changed");
  }
  const print = (text: string): void => void io.stdout.write(text).catch(() => {});
  if (request.mode === "apply") finishUnlessAskedTwice(io);
  const { steps, complete } = await runSetup(request, {
    signal: io.interrupts.signal,
    ...(io.json ? {} : { onOutput: print }),
  });
  const outcome = {
    data: { script, options: setupOptions(request), complete, steps },
    exitCode: request.mode === "check" && !complete ? 1 : 0,
  };
  return io.json ? outcome : { ...outcome, printed: true };
}

function requestOf(args: Arguments): SetupRequest {
  const [check, dryRun, uninstall] = [args.flag("check"), args.flag("dry-run"), args.flag("uninstall")];
  if (check && dryRun) throw usage(spec, "--check and --dry-run exclude each other");
  if (check && uninstall) throw usage(spec, "--check and --uninstall exclude each other");
  const request: SetupRequest = {
    mode: check ? "check" : dryRun ? "dry-run" : "apply",
    uninstall,
    configureRuntime: args.flag("configure-runtime"),
    user: args.value("user"),
    privateNetworks: privateNetworks(args),
    firecrackerArchive: args.value("firecracker-archive"),
  };
  if (uninstall && setupOptions({ ...request, mode: "apply" }).length > 1)
    throw usage(spec, "--uninstall takes no option of installing");
  return request;
}

function privateNetworks(args: Arguments): SetupRequest["privateNetworks"] {
  const mode = args.value("private-networks");
  if (mode !== undefined && mode !== "open" && mode !== "closed")
    throw usage(spec, `--private-networks is open or closed, not '${mode}'`);
  if (mode !== undefined && !args.flag("configure-runtime"))
    throw usage(
      spec,
      "--private-networks is for the taps of --configure-runtime",
      `Write: smolvm setup --configure-runtime --private-networks ${mode}`,
    );
  return mode;
}

/** A package manager that is killed at work leaves a mess: the first Ctrl-C only says so, the second stops it. */
function finishUnlessAskedTwice(io: Io): void {
  const release = io.interrupts.handle(() => {
    release();
    io.note("A package manager may be at work: it is better to let this finish. Again stops it.");
  });
}

/** Who is not root gets the command to type: sudo is theirs to call. */
function rootRequired(request: SetupRequest): SmolVMError {
  const command = setupCommandLine(request);
  return new SmolVMError("ROOT_REQUIRED", "setting this machine up needs root", {
    hint: `See what it would do: smolvm setup --dry-run. Then run: ${command}`,
    details: { command },
  });
}

/** Shows a person what will be done, and asks; where nobody can be asked, `--yes` is needed. */
async function agreed(io: Io, request: SetupRequest): Promise<boolean> {
  const { canAsk, confirm } = await import("../terminal/confirm.ts");
  if (io.json || !canAsk()) {
    throw new SmolVMError("USAGE", "setup needs --yes here, because nobody can be asked", {
      hint: "See what it would do, then do it: smolvm setup --dry-run; smolvm setup --yes",
    });
  }
  const { steps, complete } = await runSetup(
    { ...request, mode: "dry-run" },
    { signal: io.interrupts.signal },
  );
  if (complete) return true;
  for (const { status, text } of steps) if (status !== "ok") io.note(`${status.padEnd(8)} ${text}`);
  return await confirm("Change this machine so?", io.interrupts.signal);
}

export const setup: Command = { spec, run: setupCommand };
