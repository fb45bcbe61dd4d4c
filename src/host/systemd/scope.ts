import type { VmmLimits } from "../../config/spec.ts";
import { isSmolVMError, SmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { type BusValue, BusWriter, encodeCall, SYSTEMD_PATH } from "./dbus-codec.ts";
import { ManagerClient } from "./manager-client.ts";

/** How long a start waits for its scope, also where one of the same name is still ending. */
const SCOPE_MS = 5_000;
const MICROSECONDS = 1_000_000;
const UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists";

/** A scope: a cgroup of systemd's around processes that it did not start. It goes when the last of them ends. */
export interface Scope {
  /** the manager's socket (user-manager.ts) */
  readonly manager: string;
  /** "NAME.scope" */
  readonly name: string;
  /** for people: systemctl --user status shows it */
  readonly description: string;
  readonly limits: VmmLimits;
}

/**
 * Puts a process, and all that it will start, into a scope of its own.
 * @throws SmolVMError HOST_FAILED, TIMEOUT: it is where it was (or, with TIMEOUT, may still come into the scope)
 */
async function enterScope(scope: Scope, pid: number): Promise<void> {
  const client = await ManagerClient.connect(scope.manager);
  const deadline = Deadline.within(SCOPE_MS, "waiting for systemd to make a scope");
  try {
    while (!(await tryToEnter(client, scope, pid, deadline))) {
      // The last run's processes have ended, and systemd has not cleared up after them yet.
      await client.take(({ member, texts }) => member === "UnitRemoved" && texts[0] === scope.name, deadline);
    }
  } finally {
    client.close();
  }
}

/** {@link enterScope} where it need not be. Returns why there is no scope; undefined: the process is in it. */
export async function refusalToEnter(scope: Scope, pid: number): Promise<string | undefined> {
  try {
    await enterScope(scope, pid);
    return undefined;
  } catch (error) {
    if (isSmolVMError(error)) return error.message;
    throw error;
  }
}

/** Returns false while there is one of that name. */
async function tryToEnter(
  client: ManagerClient,
  scope: Scope,
  pid: number,
  deadline: Deadline,
): Promise<boolean> {
  const answer = await client.call((serial) => encodeScopeCall(scope, pid, serial), deadline);
  if (answer.errorName === UNIT_EXISTS) return false;
  const [job] = answer.texts;
  if (answer.type !== "return" || job === undefined) throw refused(answer.texts.join(" "));
  const { texts } = await client.take(
    ({ member, texts }) => member === "JobRemoved" && texts[0] === job,
    deadline,
  );
  const result = texts.at(-1); // of (id, job, unit, result)
  if (result !== "done") throw refused(`its job ended with '${result}'`);
  return true;
}

function refused(why: string): SmolVMError {
  return new SmolVMError("HOST_FAILED", `systemd made no scope: ${why}`);
}

/** The call that makes a scope around a process: what is limited is in systemd.resource-control(5). Pure. */
export function encodeScopeCall(
  { name, description, limits }: Omit<Scope, "manager">,
  pid: number,
  serial: number,
): Uint8Array {
  const number = (value: number): BusValue => ({ type: "t", value: BigInt(value) });
  const properties: readonly (readonly [name: string, value: BusValue])[] = [
    ["Description", { type: "s", value: description }],
    ["PIDs", { type: "au", value: [pid] }],
    ["MemoryMax", number(limits.memoryMib * 1024 * 1024)],
    // What does not fit is not to be pushed out to the disk, where it would stay.
    ["MemorySwapMax", number(0)],
    ["CPUQuotaPerSecUSec", number(limits.cpus * MICROSECONDS)],
    ["TasksMax", number(limits.pids)],
    // Nothing is left of it, however its processes ended.
    ["CollectMode", { type: "s", value: "inactive-or-failed" }],
  ];
  const body = new BusWriter().text(name).text("fail");
  body.list(8, () => {
    for (const [property, value] of properties) body.align(8).text(property).variant(value);
  });
  body.list(8, () => {}); // no other units
  return encodeCall({
    serial,
    path: SYSTEMD_PATH,
    interface: "org.freedesktop.systemd1.Manager",
    member: "StartTransientUnit",
    signature: "ssa(sv)a(sa(sv))",
    body: body.done(),
  });
}
