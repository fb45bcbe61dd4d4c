import type { AgentSession } from "../../agent/session/session.ts";
import type { OnProgress } from "../../config/progress.ts";
import type { VmSpec } from "../../config/spec.ts";
import { SmolVMError } from "../../errors.ts";
import { composeImage, type ImageParts, partsOf } from "../../images/boot/compose.ts";
import {
  type ConfigDocument,
  type ImageChanges,
  type RunConfig,
  withChanges,
} from "../../images/layer/config-document.ts";
import type { MadeLayer } from "../../images/layer/layer-file.ts";
import type { Image } from "../../images/store/image.ts";
import { readStored, type StoredImage } from "../../images/store/store.ts";
import { checkTag } from "../../images/store/tag.ts";
import { MAY_RUN } from "../../store/states.ts";
import type { VmRecord } from "../../store/vms.ts";
import { Deadline } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { withLock } from "../lifecycle/lock.ts";
import { newId } from "../lifecycle/names.ts";
import { removeVm } from "../lifecycle/remove.ts";
import { startNewVm } from "../lifecycle/start.ts";
import { controlSession } from "../machine/go-on.ts";
import { deletedError, type VmRef } from "../recovery/deleted.ts";
import { captureDisk, whileHeld } from "../snapshots/capture.ts";
import { makeFrom } from "../snapshots/make-from.ts";
import { withWorkDir } from "../snapshots/work.ts";
import { sourceDate } from "./dates.ts";
import { makeLayer } from "./layer.ts";
import { ownLayer } from "./own-layer.ts";

export interface CommitRequest {
  /** what the image is to be called */
  readonly name: string;
  /** what it says otherwise than the image below */
  readonly config?: ImageChanges | undefined;
  /** the same as instructions of a Dockerfile, after that */
  readonly changes?: readonly string[] | undefined;
  readonly author?: string | undefined;
  readonly message?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** How long removing the machine that a stopped sandbox's disk is read by may take, whatever came before. */
const END_MS = 30_000;

/**
 * Makes an image of what a sandbox has become: its image, and over it a layer of what its disk holds besides, of one moment. It goes on as before; one that is
 * down stays so.
 * @throws SmolVMError CONFIG_INVALID, NOT_SUPPORTED (its disk is not over an image), IMAGE_INVALID (the image below was pruned), VM_NOT_FOUND, VM_BUSY,
 *   NO_SPACE, TIMEOUT, ABORTED, AGENT_LOST, and as startVm of one that is down
 */
export async function commitVm(
  home: Home,
  vm: VmRef,
  request: CommitRequest,
  deadline: Deadline,
): Promise<Image> {
  const name = checkTag(request.name);
  const { config = {}, changes = [] } = request;
  const changed = await withInstructions(changes);
  const { onProgress } = request;
  onProgress?.({ stage: "commit", message: `reading the disk of ${vm.name}` });
  const { record, below, layer, isOwn } = await withLock(home, vm.id, deadline, async (record) => {
    if (!record) throw deletedError(vm);
    const stored = await imageBelow(home, record);
    const partsBelow = (over: Over): Promise<ImageParts> =>
      partsOf(home.paths, stored, () => ownLayer(home, stored.image, { deadline, onProgress }, over));
    // What can be read while it runs need not keep it waiting.
    const early =
      record.state === "running"
        ? await partsBelow((act) => overControl(home, record, act, deadline))
        : undefined;
    const read = async (session: AgentSession): Promise<Taken> => ({
      record,
      layer: (await makeLayer(home.paths, session, { latest: sourceDate() }, deadline)).layer,
      below: early ?? (await partsBelow((act) => act(session))),
      isOwn: stored.image.origin === undefined,
    });
    if (MAY_RUN.has(record.state)) return await whileHeld(home, record, read, deadline);
    return await withCopy(home, record, read, deadline);
  });
  const parts = over(below, layer, record, request, (before) => {
    const after = changed(withChanges(before, config));
    return isOwn ? inHome(after) : after;
  });
  onProgress?.({ stage: "unpack", message: `making ${name}` });
  const { arch } = record.spec.machine;
  const options = { arch, name, made: "commit", deadline, onProgress } as const;
  return (await composeImage(home.paths, parts, options)).image;
}

/** Root's commands are in its home in a sandbox of an image of ours, and in the root in one of others: in what is made of the first they stay where they were. Pure. */
function inHome(config: RunConfig): RunConfig {
  return config.User === undefined && config.WorkingDir === undefined
    ? { ...config, WorkingDir: "/root" }
    : config;
}

interface Taken {
  readonly record: VmRecord;
  readonly below: ImageParts;
  /** that is an image of ours */
  readonly isOwn: boolean;
  readonly layer: MadeLayer | undefined;
}

/** Who gives a session to who reads a disk. */
type Over = <T>(act: (session: AgentSession) => Promise<T>) => Promise<T>;

/** Reads the disk of a sandbox that runs, over a session of its own. */
export async function overControl<T>(
  home: Home,
  record: VmRecord,
  act: (session: AgentSession) => Promise<T>,
  deadline: Deadline,
): Promise<T> {
  const session = await controlSession(home, record, deadline);
  try {
    return await act(session);
  } finally {
    await session.close();
  }
}

/** The image that a sandbox's disk lies over. @throws SmolVMError NOT_SUPPORTED, IMAGE_NOT_FOUND */
async function imageBelow(home: Home, { name, spec }: VmRecord): Promise<StoredImage> {
  const hasBoth = ["smolvm-base", "smolvm-upper"].every((serial) =>
    spec.machine.disks.some((disk) => disk.serial === serial),
  );
  if (!hasBoth || spec.imageDigest === "" || spec.image === "") {
    throw new SmolVMError("NOT_SUPPORTED", `the disk of sandbox '${name}' lies over no image of the store`, {
      hint: "Only a sandbox that was made of an image (--image) can become one.",
    });
  }
  const stored = await readStored(home.paths, spec.imageDigest);
  if (stored !== undefined) return { ...stored, image: { ...stored.image, name: spec.image } };
  throw new SmolVMError(
    "IMAGE_NOT_FOUND",
    `the image '${spec.image}' of sandbox '${name}' is not there any more`,
    {
      hint: `Get it again: smolvm image pull ${spec.image}`,
    },
  );
}

/** Reads a copy of the disk of a sandbox that is down, by a machine that is for nothing else. */
async function withCopy<T>(
  home: Home,
  record: VmRecord,
  act: (session: AgentSession) => Promise<T>,
  deadline: Deadline,
): Promise<T> {
  return await withWorkDir(home, async (work) => {
    await captureDisk(home, record, work, deadline);
    const id = newId();
    const vm = { id, name: `commit-${id}` };
    const source = {
      spec: alone(record.spec),
      disk: [{ path: work.disk }],
      origin: `commit of ${record.name}`,
    };
    await makeFrom(home, source, vm, { lifetime: "owner" }, deadline);
    try {
      const started = await startNewVm(home, vm, deadline, {});
      try {
        return await act(started.session);
      } finally {
        await started.session.close();
      }
    } finally {
      await removeVm(home, id, { force: true }, Deadline.within(END_MS, "removing a machine"));
    }
  });
}

/** Without what others can see of it, or it of them. Pure. */
function alone(spec: VmSpec): VmSpec {
  const { openByDoor: _, bring: __, ...rest } = spec;
  const { machine } = spec;
  const disks = machine.disks.filter(({ serial }) => !serial.startsWith("extra-"));
  return {
    ...rest,
    machine: { ...machine, disks, network: "off", networkCard: undefined },
    networkPolicy: undefined,
    guestNetwork: undefined,
    autoStart: false,
  };
}

/**
 * What instructions change about how an image is run.
 * @throws SmolVMError CONFIG_INVALID for one that changes files, or is none
 */
async function withInstructions(changes: readonly string[]): Promise<(config: RunConfig) => RunConfig> {
  if (changes.length === 0) return (config) => config;
  const { parseDockerfile } = await import("../../images/dockerfile/parse.ts"); // few need it
  const { applyToState } = await import("../../images/dockerfile/state.ts");
  const refused = (text: string, cause: unknown, what: string): SmolVMError =>
    new SmolVMError("CONFIG_INVALID", `'${text}' cannot be changed about an image: ${what}`, {
      hint: `Give CMD, ENTRYPOINT, ENV, LABEL, USER, EXPOSE, VOLUME, STOPSIGNAL, HEALTHCHECK, SHELL or ONBUILD, as 'ENV A=b'.`,
      details: { option: "changes" },
      cause,
    });
  const apply = (config: RunConfig, text: string): RunConfig => {
    const state = { config, author: undefined, args: new Map<string, string>(), hasCmd: true };
    try {
      const { instructions, escaping } = parseDockerfile(text, "changes");
      if (instructions.length !== 1) throw new Error("it is not one instruction");
      const next = applyToState(state, instructions[0]!, escaping);
      if (next === undefined) throw new Error(`${instructions[0]!.keyword} changes more than that`);
      return next.config;
    } catch (error) {
      throw refused(text, error, (error as Error).message);
    }
  };
  for (const text of changes) apply({}, text); // what is wrong is told before anything is done
  return (config) => changes.reduce(apply, config);
}

function over(
  below: ImageParts,
  layer: MadeLayer | undefined,
  { name }: VmRecord,
  { author, message }: CommitRequest,
  changed: (config: RunConfig) => RunConfig,
): ImageParts {
  const date = sourceDate();
  const created = new Date(date === undefined ? Date.now() : date * 1000).toISOString();
  const document: ConfigDocument = {
    ...below.document,
    created,
    ...(author === undefined ? {} : { author }),
    config: changed(below.document.config),
    rootfs: {
      type: "layers",
      diff_ids: [...below.document.rootfs.diff_ids, ...(layer === undefined ? [] : [layer.diffId])],
    },
    history: [
      ...below.document.history,
      {
        created,
        created_by: `smolvm commit ${name}`,
        ...(author === undefined ? {} : { author }),
        ...(message === undefined ? {} : { comment: message }),
        ...(layer === undefined ? { empty_layer: true } : {}),
      },
    ],
  };
  return { document, layers: [...below.layers, ...(layer === undefined ? [] : [layer])] };
}
