import type { HostMount, MountMode } from "../../config/mounts.ts";
import { SmolVMError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";

/** What may stand at the end of one. */
const MODES: readonly string[] = ["ro", "rw", "overlay"];

/**
 * Reads one `-v`: `HOST:GUEST`, and behind it `:ro`, `:rw` or `:overlay`. The guest's path is absolute, so a colon in the host's is no matter. Pure.
 * @param shareAnyway what `--yes-share-it` says
 * @throws SmolVMError USAGE
 */
export function parseVolume(text: string, shareAnyway: boolean): HostMount {
  const [, host, guest, mode] = /^(.+?):(\/[^:]*)(?::([^:/]+))?$/s.exec(text) ?? [];
  if (host === undefined || guest === undefined) {
    throw new SmolVMError("USAGE", `-v: '${text}' is not a directory and where the sandbox has it`, {
      hint: "Write -v HOST:GUEST[:MODE], for example -v ./src:/work:rw; GUEST is an absolute path.",
    });
  }
  if (mode !== undefined && !MODES.includes(mode)) {
    throw new SmolVMError("USAGE", `-v '${text}': '${mode}' is not a mode`, {
      hint: "Modes are ro (the default), rw and overlay.",
    });
  }
  return {
    host,
    guest,
    ...(mode === undefined ? {} : { mode: mode as MountMode }),
    ...(shareAnyway ? { shareAnyway } : {}),
  };
}

/** All of a command line. @throws SmolVMError USAGE */
export function parseVolumes(args: Arguments): HostMount[] {
  const shareAnyway = args.flag("yes-share-it");
  return args.values("volume").map((text) => parseVolume(text, shareAnyway));
}
