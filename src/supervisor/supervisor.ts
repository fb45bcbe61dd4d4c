import type { Server, Socket } from "node:net";
import { relay } from "../agent/relay/relay.ts";
import { supervisorFiles } from "../host/files/filenames.ts";
import { closeLocally } from "../host/relay/local-socket.ts";
import { rmSync } from "../util/files-go.ts";
import { DoorKeeper } from "../vm/egress/keeper.ts";
import type { Home } from "../vm/home.ts";
import { BringKeeper } from "../vm/network/bring-keeper.ts";
import { recoverAll } from "../vm/recovery/recover.ts";
import type { SupervisorReply, SupervisorRequest } from "../vm/supervisor/messages.ts";
import { type ControlHandler, listenForRequests } from "./control.ts";
import { nextExpiryMs } from "./expiry.ts";
import { Forwards } from "./forwards.ts";
import { Kept } from "./kept.ts";
import { Pools } from "./pools.ts";
import { Upstreams } from "./upstreams.ts";

/** With nothing to do for so long, it ends, in ms. */
const IDLE_MS = 5_000;
/** While somebody works on a sandbox, or a port could not be opened: how soon to look again, in ms. */
const LOOK_AGAIN_MS = 1_000;

export interface SupervisorOptions {
  /** the package's version */
  readonly version: string;
  /** goes on with nothing to do */
  readonly stay: boolean;
  readonly log: (line: string) => void;
}

/**
 * What must stay up while no command runs: ports that lead into detached sandboxes, the doors of those with a restricted network, ports of theirs that lead to this machine's services, the end of their time to live, pools, and
 * the channels of more processes than a sandbox has session ports. It holds nothing that is not in the store: killed, the
 * next one goes on.
 */
export class Supervisor implements ControlHandler {
  readonly #home: Home;
  readonly #options: SupervisorOptions;
  readonly #upstreams: Upstreams;
  readonly #forwards: Forwards;
  readonly #doors: Kept;
  readonly #brought: Kept;
  readonly #pools: Pools;
  readonly #over: Promise<void>;
  #finish: () => void = () => {};
  #server: Server | undefined;
  #relays = 0;
  #retired = false;
  /** why ports could not be opened at the last look */
  #failures: readonly string[] = [];
  #lookTimer: NodeJS.Timeout | undefined;
  #idleTimer: NodeJS.Timeout | undefined;
  /** one look at a time; a second one that is wanted meanwhile waits for it */
  #looking: Promise<void> = Promise.resolve();

  constructor(home: Home, options: SupervisorOptions) {
    this.#home = home;
    this.#options = options;
    this.#over = new Promise((resolve) => {
      this.#finish = resolve;
    });
    this.#upstreams = new Upstreams(home, () => this.#lookSoon(0));
    this.#forwards = new Forwards(home, (id) => this.#upstreams.session(id));
    this.#doors = new Kept(
      ({ spec }) => spec.machine.network === "restricted",
      ({ id }) => new DoorKeeper(home, id, () => this.#upstreams.session(id)),
    );
    this.#brought = new Kept(
      ({ spec }) => (spec.bring ?? []).length > 0,
      ({ id, spec }) => new BringKeeper(home, id, spec.bring ?? [], () => this.#upstreams.session(id)),
    );
    this.#pools = new Pools(home, options.log);
  }

  /** Serves until there is nothing left to do. This process must be the supervisor in the store. */
  async run(): Promise<void> {
    const { socket } = supervisorFiles(this.#home.paths);
    rmSync(socket, { force: true }); // of one that was killed
    this.#server = await listenForRequests(socket, this);
    await this.#look(false);
    await this.#over;
    await this.#upstreams.closeAll();
  }

  async answer(request: Exclude<SupervisorRequest, { op: "relay" }>): Promise<SupervisorReply> {
    switch (request.op) {
      case "open":
        await this.#forwards.open(request.vm);
        this.#options.log(`listening for sandbox ${request.vm}`);
        break;
      case "reach":
        await this.#upstreams.session(request.vm);
        break;
      case "look":
        await this.#look(true);
        break;
      case "retire":
        await this.retire();
        break;
      case "hello":
    }
    this.#restIfIdle();
    return { ok: true, pid: process.pid, version: this.#options.version };
  }

  async relay(vm: string, socket: Socket): Promise<void> {
    this.#relays++;
    this.#restIfIdle();
    try {
      await relay(socket, await this.#upstreams.session(vm));
    } finally {
      this.#relays--;
      this.#restIfIdle();
    }
  }

  /** Gives its place up: what others wait for is finished, nothing is begun any more. */
  async retire(): Promise<void> {
    if (this.#retired) return;
    this.#retired = true;
    this.#options.log("retiring");
    this.#forgetLook();
    await this.#forwards.closeAll();
    this.#doors.closeAll();
    this.#brought.closeAll();
    await this.#pools.letGo();
    if (this.#server) closeLocally(this.#server, supervisorFiles(this.#home.paths).socket); // before another may make its own
    this.#home.store.supervisor.release();
    this.#restIfIdle();
  }

  #look(told: boolean): Promise<void> {
    this.#looking = this.#looking
      .then(() => this.#lookNow(told))
      .catch((error) => {
        this.#logFailures([`looking at the sandboxes failed: ${(error as Error).message}`]);
        this.#lookSoon(LOOK_AGAIN_MS);
      });
    return this.#looking;
  }

  async #lookNow(told: boolean): Promise<void> {
    if (this.#retired) return;
    await recoverAll(this.#home); // removes those whose time is over
    const records = this.#home.store.vms.all();
    await this.#pools.reconcile();
    const failures = [
      ...(await this.#forwards.reconcile(records, told)),
      ...(await this.#doors.reconcile(records)),
      ...(await this.#brought.reconcile(records)),
    ];
    this.#logFailures(failures.map(({ message }) => message));
    const served = records.filter(({ id }) => this.#forwards.sandboxes.includes(id));
    // Over these sessions it notices when a sandbox stops or crashes. Of one that cannot be had nobody would say so: a machine that has just been killed
    // gives none, and may take a moment until it has ended.
    for (const { id, state } of served)
      if (state === "running") this.#upstreams.session(id).catch(() => this.#lookSoon(LOOK_AGAIN_MS));
    const again = failures.length > 0 || served.some(({ state }) => state !== "running");
    const expiryMs = nextExpiryMs(records, Date.now());
    this.#forgetLook();
    const waitMs = again ? Math.min(LOOK_AGAIN_MS, expiryMs ?? LOOK_AGAIN_MS) : expiryMs;
    if (waitMs !== undefined) this.#lookSoon(waitMs);
    this.#restIfIdle();
  }

  /** Each once, however often it is tried again. */
  #logFailures(messages: readonly string[]): void {
    for (const message of messages) if (!this.#failures.includes(message)) this.#options.log(message);
    this.#failures = messages;
  }

  #lookSoon(ms: number): void {
    if (this.#retired) return;
    this.#forgetLook();
    this.#lookTimer = setTimeout(() => {
      this.#lookTimer = undefined;
      void this.#look(false);
    }, ms);
  }

  #forgetLook(): void {
    clearTimeout(this.#lookTimer);
    this.#lookTimer = undefined;
  }

  #restIfIdle(): void {
    clearTimeout(this.#idleTimer);
    const idle =
      this.#relays === 0 &&
      this.#forwards.count === 0 &&
      this.#doors.count === 0 &&
      this.#brought.count === 0 &&
      this.#pools.count === 0 &&
      this.#lookTimer === undefined;
    if (this.#retired && this.#relays === 0) this.#finish();
    else if (idle && !this.#options.stay) this.#idleTimer = setTimeout(() => void this.retire(), IDLE_MS);
  }
}
