import { chmodSync, existsSync } from "node:fs";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { openPlainDatabase, transaction } from "./database.ts";

/** A home, so that no other is taken for it: its directory, and what its store was given when it was made. */
export interface HomeIdentity {
  /** without links */
  readonly path: string;
  readonly token: string;
}

/** How a home that wants a range gets one. */
export interface ClaimOptions {
  /** how many ranges there are, from 0 */
  readonly count: number;
  /** where to look first */
  readonly preferred: number;
  /** whether nothing runs, or has a device, by a uid of that range: asked of those whose home is gone */
  readonly isIdle: (range: number) => boolean;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS ranges (
    range INTEGER PRIMARY KEY,
    path TEXT,                       -- of the home that has it; null: another home is at its path now
    token TEXT NOT NULL
  ) STRICT;
`;

/**
 * Which home of this machine has which range of uids. One database for all homes, in a directory of root's: a claim is one
 * transaction in it, so two homes never have the same range, whatever they are called and whoever dies when.
 */
export class UidRanges {
  readonly #database: DatabaseSync;

  /** @throws SmolVMError HOST_FAILED, NO_SPACE, STORE_INVALID */
  constructor(directory: string) {
    const path = join(directory, "uids.db");
    this.#database = openPlainDatabase(path, SCHEMA);
    chmodSync(path, 0o600); // others may pass through the directory
  }

  /** The range that a home has, if it has one. */
  of({ path, token }: HomeIdentity): number | undefined {
    const row = this.#database
      .prepare("SELECT range FROM ranges WHERE path = ? AND token = ?")
      .get(path, token);
    return row === undefined ? undefined : Number(row.range);
  }

  /**
   * The range of a home: the one that it has, else a free one, else one whose home is gone and of which nothing runs any more.
   * @returns undefined: there is none
   */
  claim(home: HomeIdentity, { count, preferred, isIdle }: ClaimOptions): number | undefined {
    return (
      this.of(home) ??
      transaction(this.#database, () => {
        const own = this.of(home); // again, now that we hold the write lock
        if (own !== undefined) return own;
        // Who had this path before was removed, or moved; its machines may still run.
        this.#database.prepare("UPDATE ranges SET path = NULL WHERE path = ?").run(home.path);
        const claimed = new Map(
          this.#database
            .prepare("SELECT range, path FROM ranges")
            .all()
            .map(({ range, path }) => [Number(range), path === null ? undefined : String(path)]),
        );
        for (let i = 0; i < count; i++) {
          const range = (preferred + i) % count;
          if (claimed.has(range) && (isThere(claimed.get(range)) || !isIdle(range))) continue;
          this.#database
            .prepare("INSERT OR REPLACE INTO ranges (range, path, token) VALUES (?, ?, ?)")
            .run(range, home.path, home.token);
          return range;
        }
        return undefined;
      })
    );
  }

  close(): void {
    this.#database.close();
  }
}

/** Whether a home is still where it was: one on a disk that is away gets another range when it is back. */
function isThere(path: string | undefined): boolean {
  return path !== undefined && existsSync(path);
}
