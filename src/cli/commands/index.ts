import type { CommandEntry } from "../command.ts";

export interface CommandGroup {
  readonly title: string;
  readonly commands: readonly CommandEntry[];
}

/** Every command, in the order of the overview. A name of two words is a command of a group (`image ls`). */
export const COMMAND_GROUPS: readonly CommandGroup[] = [
  {
    title: "Run something",
    commands: [
      {
        name: "run",
        summary: "Run a command in a new sandbox, then delete the sandbox",
        load: async () => (await import("./run.ts")).run,
      },
      {
        name: "exec",
        summary: "Run a command in a running sandbox",
        load: async () => (await import("./exec.ts")).exec,
      },
      {
        name: "shell",
        summary: "Open a login shell in a running sandbox",
        load: async () => (await import("./shell.ts")).shell,
      },
      {
        name: "ps",
        summary: "List what runs in a sandbox",
        load: async () => (await import("./ps.ts")).ps,
      },
      {
        name: "kill",
        summary: "End commands in a sandbox, with all they started",
        load: async () => (await import("./kill.ts")).kill,
      },
    ],
  },
  {
    title: "Sandboxes",
    commands: [
      {
        name: "create",
        summary: "Create a sandbox that stays until it is removed",
        load: async () => (await import("./create.ts")).create,
      },
      {
        name: "start",
        summary: "Start sandboxes",
        load: async () => (await import("./start.ts")).start,
      },
      {
        name: "stop",
        summary: "Stop sandboxes; their disks are kept",
        load: async () => (await import("./stop.ts")).stop,
      },
      {
        name: "restart",
        summary: "Stop sandboxes and start them again",
        load: async () => (await import("./restart.ts")).restart,
      },
      {
        name: "pause",
        summary: "Let sandboxes stand still; they keep their memory",
        load: async () => (await import("./pause.ts")).pause,
      },
      {
        name: "resume",
        summary: "Let paused sandboxes go on",
        load: async () => (await import("./resume.ts")).resume,
      },
      {
        name: "fork",
        summary: "Make sandboxes that go on from where one is now",
        load: async () => (await import("./fork.ts")).fork,
      },
      {
        name: "rm",
        summary: "Remove sandboxes and their disks",
        load: async () => (await import("./rm.ts")).rm,
      },
      {
        name: "ls",
        summary: "List sandboxes",
        load: async () => (await import("./ls.ts")).ls,
      },
      {
        name: "info",
        summary: "Show everything about a sandbox",
        load: async () => (await import("./info.ts")).info,
      },
      {
        name: "stats",
        summary: "Show what sandboxes use of this machine",
        load: async () => (await import("./stats.ts")).stats,
      },
      {
        name: "env",
        summary: "Show or change the environment of a sandbox's commands",
        load: async () => (await import("./env.ts")).env,
      },
      {
        name: "ttl",
        summary: "Show or change when a sandbox is removed by itself",
        load: async () => (await import("./ttl.ts")).ttl,
      },
      {
        name: "logs",
        summary: "Show a sandbox's console",
        load: async () => (await import("./logs.ts")).logs,
      },
      {
        name: "debug",
        summary: "Write a bundle that tells what is wrong with a sandbox",
        load: async () => (await import("./debug.ts")).debug,
      },
      {
        name: "cp",
        summary: "Copy files into or out of a sandbox",
        load: async () => (await import("./cp.ts")).cp,
      },
      {
        name: "mount",
        summary: "Have a directory of this machine in a sandbox, live",
        load: async () => (await import("./mount.ts")).mount,
      },
      {
        name: "unmount",
        summary: "Take a directory of this machine away from a sandbox",
        load: async () => (await import("./unmount.ts")).unmount,
      },
      {
        name: "diff",
        summary: "Show what a sandbox has changed in an overlay of a directory of this machine",
        load: async () => (await import("./diff.ts")).diff,
      },
      {
        name: "apply",
        summary: "Bring what a sandbox has changed in an overlay to this machine",
        load: async () => (await import("./apply.ts")).apply,
      },
      {
        name: "port",
        summary: "Reach a port of a sandbox from this machine",
        load: async () => (await import("./port.ts")).port,
      },
      {
        name: "network rules",
        summary: "Show what a sandbox with a restricted network reaches",
        load: async () => (await import("./network-rules.ts")).networkRules,
      },
      {
        name: "network set",
        summary: "Change what a sandbox with a restricted network reaches",
        load: async () => (await import("./network-set.ts")).networkSet,
      },
      {
        name: "network log",
        summary: "Show what became of a restricted network's connections",
        load: async () => (await import("./network-log.ts")).networkLog,
      },
    ],
  },
  {
    title: "Snapshots",
    commands: [
      {
        name: "snapshot create",
        summary: "Save a sandbox: memory, processes and disk",
        load: async () => (await import("./snapshot-create.ts")).snapshotCreate,
      },
      {
        name: "snapshot ls",
        summary: "List snapshots",
        load: async () => (await import("./snapshot-ls.ts")).snapshotLs,
      },
      {
        name: "snapshot inspect",
        summary: "Show everything about a snapshot",
        load: async () => (await import("./snapshot-inspect.ts")).snapshotInspect,
      },
      {
        name: "snapshot restore",
        summary: "Make a sandbox that goes on from a snapshot",
        load: async () => (await import("./snapshot-restore.ts")).snapshotRestore,
      },
      {
        name: "snapshot rm",
        summary: "Remove snapshots",
        load: async () => (await import("./snapshot-rm.ts")).snapshotRm,
      },
      {
        name: "snapshot export",
        summary: "Write a snapshot into one file",
        load: async () => (await import("./snapshot-export.ts")).snapshotExport,
      },
      {
        name: "snapshot import",
        summary: "Take a snapshot in from such a file",
        load: async () => (await import("./snapshot-import.ts")).snapshotImport,
      },
    ],
  },
  {
    title: "Networks",
    commands: [
      {
        name: "network status",
        summary: "Show what this machine has of networks for sandboxes",
        load: async () => (await import("./network-status.ts")).networkStatusShown,
      },
      {
        name: "network check",
        summary: "Compare it with what is meant, and say what to do",
        load: async () => (await import("./network-check.ts")).networkCheck,
      },
      {
        name: "network render",
        summary: "Print the packet filter that is meant",
        load: async () => (await import("./network-render.ts")).networkRender,
      },
    ],
  },
  {
    title: "Pools",
    commands: [
      {
        name: "pool create",
        summary: "Keep sandboxes waiting, so that one is there at once",
        load: async () => (await import("./pool-create.ts")).poolCreate,
      },
      {
        name: "pool ls",
        summary: "List pools",
        load: async () => (await import("./pool-ls.ts")).poolLs,
      },
      {
        name: "pool rm",
        summary: "Remove pools",
        load: async () => (await import("./pool-rm.ts")).poolRm,
      },
    ],
  },
  {
    title: "Images",
    commands: [
      {
        name: "image ls",
        summary: "List images",
        load: async () => (await import("./image-ls.ts")).imageLs,
      },
      {
        name: "image build",
        summary: "Build an image",
        load: async () => (await import("./image-build.ts")).imageBuild,
      },
      {
        name: "commit",
        summary: "Make an image of what a sandbox has become",
        load: async () => (await import("./commit.ts")).commit,
      },
      {
        name: "image pull",
        summary: "Get an image from a registry, a directory or an archive",
        load: async () => (await import("./image-pull.ts")).imagePull,
      },
      {
        name: "image tag",
        summary: "Give an image one more name",
        load: async () => (await import("./image-tag.ts")).imageTag,
      },
      {
        name: "image share",
        summary: "Give an image to all users of this machine",
        load: async () => (await import("./image-share.ts")).imageShare,
      },
      {
        name: "image save",
        summary: "Write a pulled image as others read it: an archive, or an OCI layout",
        load: async () => (await import("./image-save.ts")).imageSave,
      },
      {
        name: "image load",
        summary: "Take an image in that docker save or image save has written",
        load: async () => (await import("./image-load.ts")).imageLoad,
      },
      {
        name: "image push",
        summary: "Send a pulled image to a registry",
        load: async () => (await import("./image-push.ts")).imagePush,
      },
      {
        name: "image login",
        summary: "Log in to a registry",
        load: async () => (await import("./image-login.ts")).imageLogin,
      },
      {
        name: "image logout",
        summary: "Log out of a registry",
        load: async () => (await import("./image-logout.ts")).imageLogout,
      },
      {
        name: "image inspect",
        summary: "Show everything about an image",
        load: async () => (await import("./image-inspect.ts")).imageInspect,
      },
      {
        name: "image rm",
        summary: "Remove images",
        load: async () => (await import("./image-rm.ts")).imageRm,
      },
      {
        name: "image prune",
        summary: "Remove the images and kernels that no sandbox uses",
        load: async () => (await import("./image-prune.ts")).imagePrune,
      },
      {
        name: "image warm",
        summary: "Make the template that sandboxes start from, before it is needed",
        load: async () => (await import("./image-warm.ts")).imageWarm,
      },
      {
        name: "image export",
        summary: "Write an image with kernel and agent into one file",
        load: async () => (await import("./image-export.ts")).imageExport,
      },
      {
        name: "image import",
        summary: "Take an image in from such a file, or from an npm package",
        load: async () => (await import("./image-import.ts")).imageImport,
      },
      {
        name: "image kernel build",
        summary: "Build the fast kernel",
        load: async () => (await import("./kernel-build.ts")).kernelBuild,
      },
      {
        name: "image kernel ls",
        summary: "List the kernels that were built",
        load: async () => (await import("./kernel-ls.ts")).kernelLs,
      },
      {
        name: "image kernel use",
        summary: "Choose the kernel of new sandboxes",
        load: async () => (await import("./kernel-use.ts")).kernelUse,
      },
      {
        name: "image kernel rm",
        summary: "Remove kernels",
        load: async () => (await import("./kernel-rm.ts")).kernelRm,
      },
    ],
  },
  {
    title: "This machine",
    commands: [
      {
        name: "doctor",
        summary: "Check what this machine can run, and how to fix what is missing",
        load: async () => (await import("./doctor.ts")).doctor,
      },
      {
        name: "setup",
        summary: "Install what sandboxes need on this machine",
        load: async () => (await import("./setup.ts")).setup,
      },
      {
        name: "qemu build",
        summary: "Build the small QEMU that starts fast",
        load: async () => (await import("./qemu-build.ts")).qemuBuild,
      },
      {
        name: "qemu ls",
        summary: "List the QEMUs that were built",
        load: async () => (await import("./qemu-ls.ts")).qemuLs,
      },
      {
        name: "qemu use",
        summary: "Choose the QEMU that sandboxes run on",
        load: async () => (await import("./qemu-use.ts")).qemuUse,
      },
      {
        name: "qemu rm",
        summary: "Remove QEMUs",
        load: async () => (await import("./qemu-rm.ts")).qemuRm,
      },
      {
        name: "gc",
        summary: "Clear up what processes that died have left behind",
        load: async () => (await import("./gc.ts")).gc,
      },
      {
        name: "supervisor status",
        summary: "Show the process that forwards ports and ends times to live",
        load: async () => (await import("./supervisor-status.ts")).supervisorStatus,
      },
      {
        name: "supervisor stop",
        summary: "End that process; what needs it starts it again",
        load: async () => (await import("./supervisor-stop.ts")).supervisorStop,
      },
      {
        name: "supervisor unit",
        summary: "Print a systemd user unit that keeps it running",
        load: async () => (await import("./supervisor-unit.ts")).supervisorUnit,
      },
      {
        name: "completion",
        summary: "Print a script that completes smolvm's words in your shell",
        load: async () => (await import("./completion.ts")).completion(COMMANDS),
      },
      {
        name: "version",
        summary: "Show the version",
        load: async () => (await import("./version.ts")).version,
      },
    ],
  },
];

/** All commands by name. */
export const COMMANDS: ReadonlyMap<string, CommandEntry> = new Map(
  COMMAND_GROUPS.flatMap((group) => group.commands.map((command) => [command.name, command] as const)),
);
