import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import type { BackendName, CommandShare, ReachedIsolation, VmSpec } from "../config/spec.ts";
import { SmolVMError } from "../errors.ts";
import { isAlive, type ProcessIdentity, type VmmIdentity } from "../host/process/process-identity.ts";
import { canonicalJson, type Json } from "../util/json.ts";
import { transaction, write } from "./database.ts";
import { thisProcess } from "./holders.ts";
import type { Step } from "./journal.ts";
import { HAS_NO_MACHINE, SETTLED, TRANSITIONS, type VmState } from "./states.ts";

/** What went wrong with a sandbox, as kept with it. */
export interface VmFault {
  readonly code: string;
  readonly message: string;
}

/** In the place of a template's key: the machine went on from what a user had saved. */
export const ORIGIN = "origin";

/** One sandbox as the store knows it: a hint, never proof. Whether its VMM lives is asked of the host. */
export interface VmRecord {
  readonly id: string;
  readonly name: string;
  readonly state: VmState;
  readonly spec: VmSpec;
  readonly labels: Readonly<Record<string, Json>>;
  /** what a program finds it by; undefined: nothing */
  readonly key?: string | undefined;
  /** ms since the epoch */
  readonly createdAt: number;
  readonly startedAt: number | undefined;
  readonly vmm: VmmIdentity | undefined;
  /** what stands around its VMM, or stood around the last one */
  readonly isolation: ReachedIsolation | undefined;
  /** the template whose memory its machine, or the last one, went on from; {@link ORIGIN}: that of its origin; undefined: it booted */
  readonly template: string | undefined;
  /** what its first start went on from, where that was saved by a user: `snapshot NAME`, or `fork of NAME`; undefined: nothing */
  readonly origin?: string | undefined;
  /** the pool in which it waits to be taken; undefined: it is somebody's */
  readonly pool?: string | undefined;
  /** what its guest limits commands to, or the one of the last start did */
  readonly commands: CommandShare | undefined;
  readonly owner: ProcessIdentity | undefined;
  /** ms since the epoch: it is removed then; undefined: never */
  readonly expiresAt: number | undefined;
  readonly error: VmFault | undefined;
  /** what was begun and is not known to be done, oldest first; empty in a settled state */
  readonly pending: readonly Step[];
}

/** Which sandboxes to list: those that match everything given. */
export interface ListFilter {
  readonly state?: VmState;
  /** label names and the values that they must have: the whole value, whatever the order of an object's names */
  readonly labels?: Readonly<Record<string, Json>>;
  /** the one that `SmolVM.getOrCreate` has for that key */
  readonly key?: string;
  /** those that wait in that pool to be taken; default: those that are somebody's */
  readonly pool?: string;
}

/** What a table shows of a sandbox. */
export interface VmBrief extends Pick<VmRecord, "id" | "name" | "state"> {
  /** ms since the epoch */
  readonly startedAt: number | null;
  /** "" for a root file system of one's own */
  readonly image: string;
  readonly backend: BackendName;
  readonly memSizeMib: number;
}

/** What one that is taken from a pool has of its own. */
export interface TakenAs {
  readonly name: string;
  readonly labels: Readonly<Record<string, Json>>;
  readonly owner: ProcessIdentity | undefined;
  /** ms since the epoch */
  readonly expiresAt: number | undefined;
}

/** What a transition may change besides the state. `undefined` keeps, `null` clears. */
export interface VmPatch {
  readonly startedAt?: number;
  readonly vmm?: VmmIdentity | null;
  readonly isolation?: ReachedIsolation;
  readonly template?: string | null;
  readonly commands?: CommandShare;
  readonly error?: VmFault | null;
}

type Row = Record<string, SQLOutputValue>;

/** Columns that repeat what a spec says (migrations.ts), for the spec in parameter `?n`. */
const fromSpec = (n: number): string =>
  `?${n} ->> 'image', ?${n} ->> '$.machine.backend', ?${n} ->> '$.machine.memSizeMib'`;

const COLUMNS =
  "*, (SELECT group_concat(step, ' ') FROM (SELECT step FROM journal WHERE vm_id = vms.id ORDER BY id)) AS pending";

/** {@link HAS_NO_MACHINE}, in SQL. */
const QUIET_STATES = [...HAS_NO_MACHINE].map((state) => `'${state}'`).join(", ");

const BRIEF_COLUMNS = "id, name, state, started_at AS startedAt, image, backend, mem_size_mib AS memSizeMib";

/** No wanted label is missing or has another value. Types as well: SQLite has the value 1 for JSON's true. */
const HAS_LABELS =
  "NOT EXISTS (SELECT 1 FROM json_each($labels) AS wanted WHERE NOT EXISTS (SELECT 1 FROM json_each(vms.labels) AS own WHERE own.key = wanted.key AND own.type = wanted.type AND own.value IS wanted.value))";

/** The sandboxes in the store. */
export class VmTable {
  readonly #database: DatabaseSync;
  readonly #find: StatementSync;
  readonly #findBrief: StatementSync;
  /** the last spec that {@link findForCommand} has read */
  #lastSpec: { readonly text: unknown; readonly spec: VmSpec } | undefined;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#findBrief = database.prepare("SELECT name, state, spec FROM vms WHERE id = ?");
    this.#findBrief.setReturnArrays?.(true); // a third of the time is making an object of it; Bun makes one all the same
    this.#find = database.prepare(`SELECT ${COLUMNS} FROM vms WHERE name = ?1 OR id = ?1`);
  }

  /**
   * Adds the record of a sandbox that this process is about to make: locked by it, with the first step noted, so that
   * nobody takes it for finished, and whoever finds it after our death knows that it is not.
   * @param judge throws if it may not be: no other sandbox comes or changes its state between that and the insertion
   * @throws SmolVMError VM_NAME_TAKEN: for its key with `details.key`
   */
  insert(
    record: Pick<
      VmRecord,
      "id" | "name" | "spec" | "labels" | "key" | "owner" | "expiresAt" | "origin" | "pool"
    >,
    step: Step,
    judge?: () => void,
  ): VmRecord {
    return transaction(this.#database, () => {
      judge?.();
      if (record.key !== undefined && this.findByKey(record.key)) {
        throw new SmolVMError("VM_NAME_TAKEN", "a sandbox of that key exists", {
          details: { key: record.key },
        });
      }
      this.#checkFree(record.name);
      this.#database
        .prepare(
          `INSERT INTO vms (id, name, state, spec, labels, created_at, owner, expires_at, lock, key, origin, pool, image, backend, mem_size_mib)
           VALUES (?1, ?2, 'created', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ${fromSpec(3)})`,
        )
        .run(
          record.id,
          record.name,
          JSON.stringify(record.spec),
          canonicalJson(record.labels),
          Date.now(),
          record.owner ? JSON.stringify(record.owner) : null,
          record.expiresAt ?? null,
          thisProcess(),
          record.key ?? null,
          record.origin ?? null,
          record.pool ?? null,
        );
      this.note(record.id, step);
      return this.get(record.id);
    });
  }

  /** @throws SmolVMError VM_NAME_TAKEN */
  #checkFree(name: string): void {
    if (this.find(name) === undefined) return;
    throw new SmolVMError("VM_NAME_TAKEN", `a sandbox named '${name}' exists`, {
      hint: `Choose another name, or remove it: smolvm rm ${name}`,
    });
  }

  find(idOrName: string): VmRecord | undefined {
    const row = this.#find.get(idOrName);
    return row && toRecord(row);
  }

  /** What every command asks of a sandbox's record: {@link find} takes as long as all else that this side does for a small one. */
  findForCommand(id: string): Pick<VmRecord, "name" | "state" | "spec"> | undefined {
    const row: unknown = this.#findBrief.get(id);
    if (row === undefined) return undefined;
    const [name, state, spec] = Array.isArray(row) ? (row as SQLOutputValue[]) : Object.values(row as Row);
    if (this.#lastSpec?.text !== spec) {
      this.#lastSpec = { text: spec, spec: parse<VmSpec>(spec!)! };
    }
    return { name: String(name), state: state as VmState, spec: this.#lastSpec!.spec };
  }

  findByKey(key: string): VmRecord | undefined {
    const row = this.#database.prepare(`SELECT ${COLUMNS} FROM vms WHERE key = ?`).get(key);
    return row && toRecord(row);
  }

  /** @throws SmolVMError VM_NOT_FOUND */
  get(idOrName: string): VmRecord {
    const record = this.find(idOrName);
    if (record) return record;
    throw new SmolVMError("VM_NOT_FOUND", `there is no sandbox '${idOrName}'`, {
      hint: "List them: smolvm ls",
    });
  }

  /** Oldest first. */
  list(filter: ListFilter = {}): VmRecord[] {
    return this.#select(COLUMNS, filter).map(toRecord);
  }

  /** All of them, those that wait in pools too. */
  all(): VmRecord[] {
    return this.#where("true");
  }

  /** Those of which the host may know more than their record does: all but what stands still and outlives its maker. */
  unsettled(now: number): VmRecord[] {
    const mayHaveChanged = `state NOT IN (${QUIET_STATES}) OR id IN (SELECT vm_id FROM journal)`;
    return this.#where(`${mayHaveChanged} OR owner IS NOT NULL OR expires_at <= ?`, now);
  }

  #where(condition: string, ...values: SQLInputValue[]): VmRecord[] {
    const sql = `SELECT ${COLUMNS} FROM vms WHERE ${condition} ORDER BY created_at, id`;
    return this.#database
      .prepare(sql)
      .all(...values)
      .map(toRecord);
  }

  /** {@link list} without what is long: rows as they come, because making something of a thousand takes longer than the query. */
  listBriefly(filter: ListFilter): VmBrief[] {
    return this.#select(BRIEF_COLUMNS, filter) as unknown as VmBrief[];
  }

  #select(columns: string, { state, labels = {}, key, pool }: ListFilter): Row[] {
    const where = [
      pool === undefined ? "pool IS NULL" : "pool = $pool",
      ...(key === undefined ? [] : ["key = $key"]),
      ...(state === undefined ? [] : ["state = $state"]),
      ...(Object.keys(labels).length === 0 ? [] : [HAS_LABELS]),
    ];
    const statement = this.#database.prepare(
      `SELECT ${columns} FROM vms WHERE ${where.join(" AND ")} ORDER BY created_at, id`,
    );
    statement.setAllowUnknownNamedParameters(true);
    return statement.all({
      state: state ?? null,
      labels: canonicalJson(labels),
      key: key ?? null,
      pool: pool ?? null,
    });
  }

  /**
   * Moves a sandbox to another state, in one transaction, if the transition table allows it.
   * @param judge as in {@link insert}
   * @throws SmolVMError VM_STATE, VM_NOT_FOUND
   */
  transition(id: string, to: VmState, patch: VmPatch = {}, judge?: () => void): VmRecord {
    return transaction(this.#database, () => {
      judge?.();
      const record = this.get(id);
      if (!TRANSITIONS[record.state].includes(to)) {
        throw new SmolVMError(
          "VM_STATE",
          `sandbox '${record.name}' is ${record.state}; it cannot become ${to}`,
          {
            details: { state: record.state, wanted: to },
          },
        );
      }
      this.#database
        .prepare(
          "UPDATE vms SET state = ?, started_at = ?, vmm = ?, isolation = ?, template = ?, commands = ?, error = ? WHERE id = ?",
        )
        .run(
          to,
          patch.startedAt ?? record.startedAt ?? null,
          json(patch.vmm, record.vmm),
          json(patch.isolation, record.isolation),
          patch.template === undefined ? (record.template ?? null) : patch.template,
          json(patch.commands, record.commands),
          json(patch.error, record.error),
          id,
        );
      if (SETTLED.has(to)) this.#clearJournal(id);
      if (HAS_NO_MACHINE.has(to)) this.#database.prepare("DELETE FROM tap_leases WHERE vm_id = ?").run(id);
      return this.get(id);
    });
  }

  /** Notes what is about to be done, so that it can be undone if this process dies over it. */
  note(id: string, step: Step): void {
    write(this.#database, "INSERT INTO journal (vm_id, step) VALUES (?, ?)", id, step);
  }

  /** A new sandbox is complete: nothing is pending any more, and others may use it. */
  complete(id: string): void {
    transaction(this.#database, () => {
      this.#clearJournal(id);
      this.unlock(id);
    });
  }

  /** What was noted since it came into its state is done. */
  settle(id: string): VmRecord {
    this.#clearJournal(id);
    return this.get(id);
  }

  #clearJournal(id: string): void {
    write(this.#database, "DELETE FROM journal WHERE vm_id = ?", id);
  }

  /** Those that wait in a pool, oldest first. */
  waitingIn(pool: string): VmRecord[] {
    return this.#where("pool = ?", pool);
  }

  /** Those that can be taken from a pool: they run, and nobody is at work on them; oldest first. */
  readyIn(pool: string): VmRecord[] {
    return this.waitingIn(pool).filter(
      ({ id, state }) => state === "running" && this.#holder(id) === undefined,
    );
  }

  /** Those that wait in a pool that there is not. */
  strayInPools(): VmRecord[] {
    return this.#where("pool IS NOT NULL AND pool NOT IN (SELECT name FROM pools)");
  }

  /**
   * Takes the sandbox that has waited longest in a pool, and locks it for this process: from now on it is somebody's. One that a process is still
   * at work on, or that does not run, is left.
   * @returns undefined: none waits
   * @throws SmolVMError VM_NAME_TAKEN
   */
  takeFrom(pool: string, as: TakenAs): VmRecord | undefined {
    return transaction(this.#database, () => {
      const [found] = this.readyIn(pool);
      if (found === undefined) return undefined;
      this.#checkFree(as.name);
      const spec: VmSpec = { ...found.spec, hostname: as.name, lifetime: as.owner ? "owner" : "detached" };
      this.#database
        .prepare(
          `UPDATE vms SET pool = NULL, name = ?1, spec = ?2, labels = ?3, owner = ?4, expires_at = ?5, created_at = ?6, started_at = ?6, lock = ?7
           WHERE id = ?8`,
        )
        .run(
          as.name,
          JSON.stringify(spec),
          canonicalJson({ ...found.labels, ...as.labels }), // one that waits has its image's alone
          as.owner ? JSON.stringify(as.owner) : null,
          as.expiresAt ?? null,
          Date.now(),
          thisProcess(),
          found.id,
        );
      return this.get(found.id);
    });
  }

  /** The process that has locked it, if that lives. */
  #holder(id: string): ProcessIdentity | undefined {
    const row = this.#database.prepare("SELECT lock FROM vms WHERE id = ?").get(id);
    const holder = parse<ProcessIdentity>(row?.lock);
    return holder !== undefined && isAlive(holder) ? holder : undefined;
  }

  /** Records the VMM of a machine that is being started. */
  setVmm(id: string, vmm: VmmIdentity | undefined): void {
    write(this.#database, "UPDATE vms SET vmm = ? WHERE id = ?", vmm ? JSON.stringify(vmm) : null, id);
  }

  /**
   * Changes what is kept of a sandbox's spec, in one transaction: nobody sees half of it, and no other process's change is lost.
   * For what a machine is not launched from; who changes a machine holds its lock.
   * @throws SmolVMError VM_NOT_FOUND; what `change` throws, and then nothing has changed
   */
  changeSpec(id: string, change: (spec: VmSpec) => VmSpec): VmRecord {
    return transaction(this.#database, () => {
      const { spec } = this.get(id);
      write(
        this.#database,
        `UPDATE vms SET (spec, image, backend, mem_size_mib) = (?1, ${fromSpec(1)}) WHERE id = ?2`,
        JSON.stringify(change(spec)),
        id,
      );
      return this.get(id);
    });
  }

  /**
   * Sets the end of a sandbox's time, in ms since the epoch; undefined: it has none. Returns whether it was there: one whose time is over is
   * as good as gone.
   */
  setExpiry(id: string, expiresAt: number | undefined, now: number): boolean {
    const sql = "UPDATE vms SET expires_at = ? WHERE id = ? AND (expires_at IS NULL OR expires_at > ?)";
    return write(this.#database, sql, expiresAt ?? null, id, now).changes === 1;
  }

  /** Templates from which a machine goes on that may still run. */
  templatesInUse(): string[] {
    const rows = this.#database
      .prepare(
        `SELECT DISTINCT template FROM vms WHERE template IS NOT NULL AND state NOT IN (${QUIET_STATES})`,
      )
      .all();
    return rows.map(({ template }) => String(template));
  }

  remove(id: string): void {
    write(this.#database, "DELETE FROM vms WHERE id = ?", id);
  }

  /** Takes the lock of a sandbox for this process; a dead holder's lock is taken over. Returns the holder if it is another. */
  tryLock(id: string): ProcessIdentity | undefined {
    return transaction(this.#database, () => {
      const holder = this.#holder(id);
      if (holder !== undefined) return holder;
      this.#database.prepare("UPDATE vms SET lock = ? WHERE id = ?").run(thisProcess(), id);
      return undefined;
    });
  }

  unlock(id: string): void {
    write(this.#database, "UPDATE vms SET lock = NULL WHERE id = ?", id);
  }
}

function json(change: unknown, current: unknown): string | null {
  const value = change === undefined ? current : change;
  return value === undefined || value === null ? null : JSON.stringify(value);
}

function parse<T>(value: SQLOutputValue | undefined): T | undefined {
  return typeof value === "string" ? (JSON.parse(value) as T) : undefined;
}

const NO_LABELS: Readonly<Record<string, Json>> = {};

function toTime(value: SQLOutputValue | undefined): number | undefined {
  return value === null ? undefined : Number(value);
}

function toRecord(row: Row): VmRecord {
  return {
    id: String(row.id),
    name: String(row.name),
    state: row.state as VmState,
    spec: parse<VmSpec>(row.spec)!,
    labels: row.labels === "{}" ? NO_LABELS : parse<Record<string, Json>>(row.labels)!,
    key: row.key === null ? undefined : String(row.key),
    createdAt: Number(row.created_at),
    startedAt: toTime(row.started_at),
    vmm: parse(row.vmm),
    isolation: parse(row.isolation),
    template: row.template === null ? undefined : String(row.template),
    pool: row.pool === null ? undefined : String(row.pool),
    origin: row.origin === null ? undefined : String(row.origin),
    commands: parse(row.commands),
    owner: parse(row.owner),
    expiresAt: toTime(row.expires_at),
    error: parse(row.error),
    pending: typeof row.pending === "string" ? (row.pending.split(" ") as Step[]) : [],
  };
}
