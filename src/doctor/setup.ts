import { SmolVMError } from "../errors.ts";
import { packagedScript } from "../host/package.ts";
import { runProgram } from "../host/process/run.ts";
import { setupCommand } from "../host/setup/setup-command.ts";
import { Deadline } from "../util/deadline.ts";
import { readSteps, type SetupStep, setupFailed } from "./setup-steps.ts";

/** What of a machine is to be set up, in the script's own words. */
export interface SetupRequest {
  readonly mode: "apply" | "check" | "dry-run";
  readonly uninstall: boolean;
  readonly configureRuntime: boolean;
  readonly user: string | undefined;
  /** whether guests with taps reach private networks */
  readonly privateNetworks: "open" | "closed" | undefined;
  readonly firecrackerArchive: string | undefined;
}

/** The script for a platform. @throws SmolVMError NOT_SUPPORTED */
export function setupScript(platform: NodeJS.Platform = process.platform): string {
  if (platform === "linux") return packagedScript("system-setup.sh");
  if (platform === "darwin") return packagedScript("system-setup-macos.sh");
  throw new SmolVMError("NOT_SUPPORTED", `there is no set-up for ${platform}`, {
    hint: "Run smolvm on Linux, on macOS, or inside WSL 2.",
  });
}

/** The script's options for a request. Pure. */
export function setupOptions(request: SetupRequest): string[] {
  return [
    ...(request.mode === "apply" ? [] : [`--${request.mode}`]),
    ...(request.uninstall ? ["--uninstall"] : []),
    ...(request.configureRuntime ? ["--configure-runtime"] : []),
    ...(request.user === undefined ? [] : ["--user", request.user]),
    ...(request.privateNetworks === undefined ? [] : ["--private-networks", request.privateNetworks]),
    ...(request.firecrackerArchive === undefined
      ? []
      : ["--firecracker-archive", request.firecrackerArchive]),
  ];
}

/** The command that a user types for a request, with sudo where it needs root. */
export function setupCommandLine(request: SetupRequest): string {
  return setupCommand(setupOptions(request));
}

/** Whether a request needs root: only changing a Linux machine does. Pure. */
export function needsRoot(request: SetupRequest, platform: NodeJS.Platform, uid: number): boolean {
  return request.mode === "apply" && platform === "linux" && uid !== 0;
}

export interface SetupRun {
  readonly steps: readonly SetupStep[];
  /** nothing is missing; what is to be done under `dry-run` counts as missing */
  readonly complete: boolean;
}

/**
 * Runs the platform's script.
 * @param onOutput receives what it prints, as it comes
 * @throws SmolVMError HOST_FAILED with the script's own words, DEPENDENCY_MISSING (no bash), ABORTED
 */
export async function runSetup(
  request: SetupRequest,
  options: { signal?: AbortSignal; onOutput?: (text: string) => void } = {},
): Promise<SetupRun> {
  const argv = ["bash", setupScript(), ...setupOptions(request)];
  const decoder = new TextDecoder();
  let output = "";
  const result = await runProgram(argv, {
    deadline: Deadline.of("setting this machine up", { signal: options.signal }),
    check: false,
    onStdout: (chunk) => {
      const text = decoder.decode(chunk, { stream: true });
      output += text;
      options.onOutput?.(text);
    },
  });
  const steps = readSteps(output);
  const open = steps.filter(({ status }) => status === "missing" || status === "would");
  const found = request.mode === "check" && open.length > 0;
  if (result.code !== 0 && !found) throw setupFailed(argv, result);
  return { steps, complete: result.code === 0 && open.length === 0 };
}
