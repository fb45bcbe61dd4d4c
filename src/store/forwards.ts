import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import { SmolVMError } from "../errors.ts";
import { transaction, write } from "./database.ts";

/** A port that is forwarded into a sandbox whenever it runs. */
export interface ForwardRecord {
  readonly id: number;
  readonly vmId: string;
  readonly guestPort: number;
  readonly hostAddress: string;
  /** undefined: any free one */
  readonly hostPort: number | undefined;
  /** where any free one will do: the one that was used last */
  readonly chosenPort: number | undefined;
}

/** What is asked for: see {@link ForwardRecord}. */
export type ForwardRequest = Pick<ForwardRecord, "guestPort" | "hostAddress" | "hostPort">;

/** Most forwards of one sandbox. */
const MAX_FORWARDS = 64;

/** The forwards that the supervisor keeps open: wishes, which outlive it; what is open now is in the table of ports. */
export class ForwardTable {
  readonly #database: DatabaseSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Adds forwards to a sandbox: all of them, or none.
   * @throws SmolVMError PORT_IN_USE for a port of the host that is forwarded already, CONFIG_INVALID for more than 64
   */
  add(vmId: string, requests: readonly ForwardRequest[]): ForwardRecord[] {
    return transaction(this.#database, () => requests.map((request) => this.#insert(vmId, request)));
  }

  /**
   * Adds a forward, unless there is one for the same: of its guest port at that address, and at that host port if one is asked for.
   * @throws SmolVMError as {@link add}
   */
  addOnce(
    vmId: string,
    request: ForwardRequest,
  ): { readonly forward: ForwardRecord; readonly added: boolean } {
    return transaction(this.#database, () => {
      const there = this.of(vmId).find(
        ({ guestPort, hostAddress, hostPort }) =>
          guestPort === request.guestPort &&
          hostAddress === request.hostAddress &&
          (request.hostPort === undefined || hostPort === request.hostPort),
      );
      return there ? { forward: there, added: false } : { forward: this.#insert(vmId, request), added: true };
    });
  }

  #insert(vmId: string, { guestPort, hostAddress, hostPort }: ForwardRequest): ForwardRecord {
    if (this.of(vmId).length >= MAX_FORWARDS)
      throw new SmolVMError("CONFIG_INVALID", `a sandbox can have at most ${MAX_FORWARDS} forwards`);
    if (hostPort !== undefined) this.#requireFree(hostAddress, hostPort);
    const { lastInsertRowid } = write(
      this.#database,
      "INSERT INTO forwards (vm_id, guest_port, host_address, host_port) VALUES (?, ?, ?, ?)",
      vmId,
      guestPort,
      hostAddress,
      hostPort ?? null,
    );
    return { id: Number(lastInsertRowid), vmId, guestPort, hostAddress, hostPort, chosenPort: undefined };
  }

  /** Notes which port was chosen for one that left the choice open. */
  chosen(id: number, hostPort: number): void {
    write(this.#database, "UPDATE forwards SET chosen_port = ? WHERE id = ?", hostPort, id);
  }

  remove(id: number): void {
    write(this.#database, "DELETE FROM forwards WHERE id = ?", id);
  }

  /** A sandbox's forwards, in the order in which they were asked for. */
  of(vmId: string): ForwardRecord[] {
    return this.#database
      .prepare("SELECT * FROM forwards WHERE vm_id = ? ORDER BY id")
      .all(vmId)
      .map(toRecord);
  }

  all(): ForwardRecord[] {
    return this.#database.prepare("SELECT * FROM forwards ORDER BY id").all().map(toRecord);
  }

  #requireFree(hostAddress: string, hostPort: number): void {
    const other = this.#database
      .prepare(
        "SELECT name FROM forwards JOIN vms ON vms.id = vm_id WHERE host_address = ? AND host_port = ? LIMIT 1",
      )
      .get(hostAddress, hostPort);
    if (!other) return;
    throw new SmolVMError(
      "PORT_IN_USE",
      `port ${hostPort} of ${hostAddress} is forwarded into sandbox '${String(other.name)}'`,
      {
        hint: `Choose another host port, or end that forward: smolvm port --remove ${String(other.name)} --host-port ${hostPort}`,
        details: { hostPort, hostAddress, sandbox: String(other.name) },
      },
    );
  }
}

function toRecord(row: Record<string, SQLOutputValue>): ForwardRecord {
  return {
    id: Number(row.id),
    vmId: String(row.vm_id),
    guestPort: Number(row.guest_port),
    hostAddress: String(row.host_address),
    hostPort: row.host_port === null ? undefined : Number(row.host_port),
    chosenPort: row.chosen_port === null ? undefined : Number(row.chosen_port),
  };
}
