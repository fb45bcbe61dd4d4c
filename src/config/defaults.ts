/** Every default in one place. Units are in the names. */
export const DEFAULT_IMAGE = "debian";
export const DEFAULT_VCPU_COUNT = 1;
export const DEFAULT_MEM_SIZE_MIB = 512;
export const DEFAULT_DISK_SIZE_MIB = 2048;

/** Session ports per machine: each costs boot time and guest memory, so few (measured: about 5 ms and 0.5 MiB each). */
export const SESSION_PORTS = 4;

/** How long a boot may take before BOOT_TIMEOUT: generous, because emulated boots on a busy machine are slow. */
export const BOOT_TIMEOUT_MS = 60_000;
/** The same for what an image is built in: it may be of another architecture, emulated beside others. */
export const BUILD_BOOT_TIMEOUT_MS = 180_000;
/** What a fork may take besides for each child after the first: as many start at once as there are processors. */
export const FORK_EACH_MS = 5_000;
/** Between asking the guest's processes to end and killing them, at a stop. */
export const STOP_GRACE_MS = 500;
/** The same where the image's init has to end its services first. */
export const STOP_INIT_GRACE_MS = 8_000;
/** The same where the image names a signal of its own, which mostly asks for an end in order. */
export const STOP_SIGNAL_GRACE_MS = 2_000;
/** How long the agent may take to say goodbye before the VMM is told to quit. */
export const STOP_AGENT_MS = 10_000;
/** How long each harder step of a stop (QMP quit, SIGTERM) may take. */
export const STOP_STEP_MS = 2_000;
/** How long one waits for a channel that other processes use. */
export const CHANNEL_WAIT_MS = 30_000;
/** How long the guest may take to answer a hello on a channel of a running machine. */
export const HELLO_TIMEOUT_MS = 15_000;
