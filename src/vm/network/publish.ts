import { checkExposed, type ExposeOptions, portUrl } from "../../agent/forward/expose.ts";
import type { Limits } from "../../config/options.ts";
import { SmolVMError } from "../../errors.ts";
import type { ForwardRecord } from "../../store/forwards.ts";
import type { VmRecord } from "../../store/vms.ts";
import { checkNames } from "../../util/check-names.ts";
import { Deadline, limited } from "../../util/deadline.ts";
import type { Home } from "../home.ts";
import { openForwards, tellSupervisor } from "../supervisor/duties.ts";

/** How a port on the host is told, by {@link ExposeOptions}. */
const WHERE = ["hostPort", "hostAddress"];

/** A port that is forwarded into a sandbox whenever it runs, whichever process asked for it. */
export interface PublishedPort {
  readonly guestPort: number;
  readonly hostAddress: string;
  /** undefined while any free one will do and the sandbox has not run yet */
  readonly hostPort: number | undefined;
  /** "http://ADDRESS:PORT", whatever the port speaks; undefined while the port is */
  readonly url: string | undefined;
}

/** Which published ports are meant: those that have all that is given. */
export type PublishedFilter = Partial<Omit<PublishedPort, "url">>;

/**
 * Has a port forwarded into a sandbox whenever it runs, from now on. One that is already is fine.
 * @throws SmolVMError PORT_IN_USE, CONFIG_INVALID, NOT_SUPPORTED, HOST_FAILED, TIMEOUT, ABORTED: then nothing is changed
 */
export async function publishPort(
  home: Home,
  { id, state }: VmRecord,
  guestPort: number,
  options: ExposeOptions & Limits,
): Promise<PublishedPort> {
  const { hostPort, hostAddress = "127.0.0.1", ...limits } = limited(options, ...WHERE);
  checkExposed(guestPort, options);
  const { forwards } = home.store;
  const { forward, added } = forwards.addOnce(id, {
    guestPort,
    hostPort: hostPort === 0 ? undefined : hostPort,
    hostAddress,
  });
  if (state === "running") {
    try {
      await openForwards(home, id, Deadline.of(`publishing guest port ${guestPort}`, limits));
    } catch (error) {
      if (added) forwards.remove(forward.id);
      throw error;
    }
  }
  return toPublished(forwards.of(id).find((now) => now.id === forward.id) ?? forward);
}

/** Ends forwards of a sandbox. Returns them. @throws SmolVMError CONFIG_INVALID if there is none of that kind */
export async function unpublishPorts(
  home: Home,
  id: string,
  filter: PublishedFilter,
): Promise<PublishedPort[]> {
  checkNames(filter, ["guestPort", ...WHERE]); // else a misspelt one would mean all of them
  const { forwards } = home.store;
  const meant = forwards.of(id).filter((forward) => matches(toPublished(forward), filter));
  if (meant.length === 0) {
    throw new SmolVMError("CONFIG_INVALID", "no such port is forwarded into this sandbox", {
      hint: `See which are: smolvm port ${home.store.vms.find(id)?.name ?? id}`,
      details: { ...filter },
    });
  }
  for (const { id: forwardId } of meant) forwards.remove(forwardId);
  await tellSupervisor(home);
  return meant.map(toPublished);
}

/** The ports that are forwarded into a sandbox whenever it runs. */
export function publishedPorts(home: Home, id: string): PublishedPort[] {
  return home.store.forwards.of(id).map(toPublished);
}

function toPublished({ guestPort, hostAddress, hostPort: asked, chosenPort }: ForwardRecord): PublishedPort {
  const hostPort = asked ?? chosenPort;
  const url = hostPort === undefined ? undefined : portUrl(hostAddress, hostPort);
  return { guestPort, hostAddress, hostPort, url };
}

function matches(port: PublishedPort, filter: PublishedFilter): boolean {
  return (
    (filter.guestPort === undefined || filter.guestPort === port.guestPort) &&
    (filter.hostPort === undefined || filter.hostPort === port.hostPort) &&
    (filter.hostAddress === undefined || filter.hostAddress === port.hostAddress)
  );
}
