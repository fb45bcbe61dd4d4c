import type { Arch, BackendName, Lifetime, MachineSpec } from "../config/spec.ts";
import type { VmFiles } from "../host/files/filenames.ts";
import type { OwnPages } from "../host/monitor/memory.ts";
import type { OwnNetwork } from "../host/monitor/own-network.ts";
import type { VmmIdentity } from "../host/process/process-identity.ts";
import type { Enclosure } from "../isolation/enclosure.ts";
import type { Deadline } from "../util/deadline.ts";
import type { BackendFeatures } from "./features.ts";

export interface LaunchOptions {
  readonly deadline: Deadline;
  /** "owner": the VMM dies with this process */
  readonly lifetime: Lifetime;
  /** the interface behind the machine's network card, where that is a tap: leased, and of this host's network namespace */
  readonly tap?: string | undefined;
  /** what its guest may send and get through that tap at most, each, in millions of bits a second ({@link BackendFeatures.limitsTaps}); absent: no limit */
  readonly rateLimitMbps?: number | undefined;
  /** how its user-mode network is filtered, if it has one; absent members: not by that */
  readonly userNetwork?: UserNetworkMeans | undefined;
  /** what is put around the VMM */
  readonly enclosure: Enclosure;
  /** absent: memory of its own, and a boot */
  readonly memory?: GuestMemory | undefined;
  /** told of the VMM's process as soon as it is there, while it still starts; the launch fails with what it throws */
  readonly onVmm?: ((vmm: VmmIdentity) => void) | undefined;
}

/** What filters a machine's user-mode network. */
export interface UserNetworkMeans {
  /** the network that its VMM is started in; absent: the host's */
  readonly own?: OwnNetwork | undefined;
  /** what is loaded before its VMM */
  readonly preload?: Preload | undefined;
}

/** A library that is loaded before a VMM, and the variables that it reads. */
export interface Preload {
  readonly library: string;
  readonly env: Readonly<Record<string, string>>;
}

/** A file that is a guest's memory. */
export type GuestMemory =
  /** it is there, empty and as large as the memory: all that the guest does goes into it ({@link Backend.capture}) */
  | { readonly kind: "recorded"; readonly path: string }
  /** the machine goes on where the recorded one was captured, with a copy of its own of each page that it writes */
  | {
      readonly kind: "restored";
      readonly path: string;
      /** sessions may have been open over its channel when it was captured */
      readonly wasInUse: boolean;
      /** the file that has the code that the recorded machine had translated, if `rest` says so; it is there */
      readonly code: string | undefined;
      /** comes while the VMM is being started, where its machine is still being taken; rejects where it cannot be taken */
      readonly rest: Promise<RestOfMachine>;
    };

/** What a machine goes on from besides its memory's file. */
export interface RestOfMachine {
  /** of its CPUs and devices: the VMM's words */
  readonly state: Uint8Array;
  /** file with the code that was translated, or why there is none; it may come after all else, and never rejects */
  readonly translations: Translations | Promise<Translations>;
  /** pages that are other than the memory's file has them; absent: none. Only where a backend says so ({@link BackendFeatures.givesPages}) */
  readonly pages?: OwnPages | undefined;
}

/** Such a file of a machine that was recorded. */
export type RestoredMemory = Extract<GuestMemory, { kind: "restored" }>;

/**
 * Code that was translated: the file that it is kept in, or why it is not. `wholeFor`: the file is known to be what was written, for a state of which
 * this is the SHA-256 (hex); absent: the VMM looks.
 */
export type Translations = { readonly path: string; readonly wholeFor?: string } | { readonly why: string };

/** What is to be taken of a running machine. */
export interface Capture {
  readonly arch: Arch;
  /** its VMM's process */
  readonly pid: number;
  readonly memSizeMib: number;
  /** the file that gets its memory: it is not there yet, or holds nothing */
  readonly memory: string;
  /**
   * the file, not there yet, that gets the map of its own pages: the file of its memory gets these alone then. Only of one that maps a file
   * ({@link BackendFeatures.givesPages})
   */
  readonly map?: string | undefined;
  /** the file that gets the code that it has translated, if that can be kept: it is not there yet, or empty */
  readonly translations: string;
  /** done before it is stopped, and meanwhile what can be had of it while it runs is taken */
  readonly beforeStop?: (() => Promise<void>) | undefined;
  /** takes what else belongs to that moment, such as its disks; nothing of the machine runs meanwhile */
  readonly whileStopped: () => Promise<void>;
}

/** What was taken of one. */
export interface Captured {
  /** of its CPUs and devices, some tens of KB */
  readonly state: Buffer;
  /** pages of its memory, of 4 KiB, that were its own and not of what it went on from */
  readonly pages: number;
  /** how long it stood still, in ms */
  readonly stoppedMs: number;
  /** why there are no translations; undefined: they are there. It may come when the machine goes on already, and never rejects */
  readonly untranslated: Promise<string | undefined>;
}

/** What was taken of one that ends with that. */
export interface Ended extends Pick<Captured, "state"> {
  readonly untranslated: string | undefined;
}

/** How a VMM process ended, as its monitor wrote it down. */
export interface VmmExit {
  readonly code: number | undefined;
  readonly signal: string | undefined;
  /** the last lines it wrote to stderr, bounded */
  readonly stderr: string;
}

/** A launched machine: the VMM's process identity and a promise of its end (only for the process that launched it). */
export interface LaunchedMachine {
  readonly vmm: VmmIdentity;
  /** resolves when the VMM has ended, never rejects; it does not keep this process alive (host/process/wait-end.ts does) */
  readonly exited: Promise<VmmExit>;
  /** why it is not in the scope that its enclosure names */
  readonly scopeRefusal: string | undefined;
  /** why it translates anew what the machine that it goes on from had translated; undefined: it does not, or has nothing to translate */
  readonly untranslated: string | undefined;
}

/** One kind of VMM. Stateless: all it needs is the spec and the files of the sandbox. */
export interface Backend {
  readonly name: BackendName;
  readonly features: BackendFeatures;
  /** Path of the program that it would start for a machine; undefined where there is none. */
  program(spec: MachineSpec): string | undefined;
  /**
   * All that makes a machine what it is for its guest, in words that are the same for two of one kind: without paths, and without what
   * only this start decides. Absent where there are no templates.
   */
  shape?(spec: MachineSpec): readonly string[];
  /**
   * Starts the VMM and resolves as soon as its machine was told to run; the sockets of {@link VmFiles} are there or come
   * up right after (connecting is retried on directory events, and stops when `exited` resolves: vmm-exit.ts makes the
   * error then). If it throws, no process of it is left.
   * @throws SmolVMError VMM_FAILED, DEPENDENCY_MISSING, KVM_UNAVAILABLE, NOT_SUPPORTED, TIMEOUT
   */
  launch(spec: MachineSpec, files: VmFiles, options: LaunchOptions): Promise<LaunchedMachine>;
  /**
   * Asks the VMM to end at once through its control socket. Resolves when the request was accepted. Absent where there is
   * no such request: SIGTERM is the next step then.
   */
  quit?(files: VmFiles, deadline: Deadline): Promise<void>;
  /**
   * Stops a machine whose memory is recorded, for good. Its memory's file, and its disks, are then as they are at that moment.
   * Absent where there is no such thing (features.templates).
   * @param translations the file that gets the code that it has translated, if that can be kept: it is not there yet
   * @returns the state of all else: CPUs and devices, some tens of KB
   * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED
   */
  endWithState?(files: VmFiles, translations: string, deadline: Deadline): Promise<Ended>;
  /**
   * Has a machine forget the code that it has translated so far, because only what comes next is worth keeping. Absent where nothing is
   * translated.
   * @returns why its translations cannot be kept; undefined: they can
   * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED
   */
  forgetTranslations?(files: VmFiles, deadline: Deadline): Promise<string | undefined>;
  /**
   * Takes all of a machine that runs, as it is at one moment, and lets it go on, whatever happens. Absent where there is no such thing
   * (features.snapshots).
   * @throws SmolVMError VMM_FAILED, HOST_FAILED, NO_SPACE, NOT_SUPPORTED, TIMEOUT, ABORTED; what `whileStopped` throws
   */
  capture?(files: VmFiles, capture: Capture, deadline: Deadline): Promise<Captured>;
  /**
   * After a capture, when the machine runs again: ports of its channel whose hosts died meanwhile, of which its guest was not told, are anybody's.
   * Absent where the guest is told.
   * @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED
   */
  freeLostPorts?(files: VmFiles, deadline: Deadline): Promise<void>;
  /** Its processors stand still from then on. Absent where there is no such thing (features.pause). @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED */
  pause?(files: VmFiles, deadline: Deadline): Promise<void>;
  /** They go on; fine if they do. @throws SmolVMError VMM_FAILED, TIMEOUT, ABORTED */
  resume?(files: VmFiles, deadline: Deadline): Promise<void>;
  /** What the VMM says of itself, by what was asked; for people. It changes nothing. */
  inspect(files: VmFiles, deadline: Deadline): Promise<Readonly<Record<string, unknown>>>;
}
