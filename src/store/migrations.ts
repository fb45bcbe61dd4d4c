/** The store's schema, one step per entry. Numbered by position; never edited once released, only added to. */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE vms (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    spec TEXT NOT NULL,              -- VmSpec, JSON
    labels TEXT NOT NULL,            -- JSON object
    created_at INTEGER NOT NULL,     -- ms since the epoch
    started_at INTEGER,
    vmm TEXT,                        -- VmmIdentity, JSON
    owner TEXT,                      -- ProcessIdentity, JSON: the process it dies with (lifetime "owner")
    error TEXT,                      -- {code, message}, JSON
    lock TEXT                        -- ProcessIdentity, JSON: who is changing it now
  ) STRICT;
  CREATE TABLE channel_leases (
    vm_id TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    port INTEGER NOT NULL,
    holder TEXT NOT NULL,            -- ProcessIdentity, JSON
    PRIMARY KEY (vm_id, port)
  ) STRICT;
  CREATE TABLE channel_waiters (
    ticket INTEGER PRIMARY KEY AUTOINCREMENT,  -- first come, first served
    vm_id TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    holder TEXT NOT NULL
  ) STRICT;
  CREATE INDEX channel_waiters_vm ON channel_waiters (vm_id, ticket);
  `,
  `
  -- What is about to be done to a sandbox, noted before it is done; gone when the sandbox is in a settled state.
  CREATE TABLE journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vm_id TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    step TEXT NOT NULL
  ) STRICT;
  CREATE INDEX journal_vm ON journal (vm_id, id);
  `,
  `
  -- Ports of the host that lead into sandboxes, each as long as its holder lives.
  CREATE TABLE ports (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vm_id TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    guest_port INTEGER NOT NULL,
    host_address TEXT NOT NULL,
    host_port INTEGER NOT NULL,
    holder TEXT NOT NULL             -- ProcessIdentity, JSON
  ) STRICT;
  CREATE INDEX ports_vm ON ports (vm_id, id);
  `,
  `
  -- What the supervisor does for sandboxes: ports that are forwarded whenever they run, and the end of their time to live.
  CREATE TABLE forwards (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vm_id TEXT NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    guest_port INTEGER NOT NULL,
    host_address TEXT NOT NULL,
    host_port INTEGER,               -- null: any free one
    chosen_port INTEGER              -- then: the one that was used last, to be used again if it is free
  ) STRICT;
  CREATE INDEX forwards_vm ON forwards (vm_id, id);
  ALTER TABLE vms ADD COLUMN expires_at INTEGER;  -- ms since the epoch
  CREATE TABLE supervisor (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    holder TEXT NOT NULL,            -- ProcessIdentity, JSON
    version TEXT NOT NULL
  ) STRICT;
  `,
  `
  -- What a listing shows of a spec, so that a thousand of them need not be parsed.
  ALTER TABLE vms ADD COLUMN image TEXT;
  ALTER TABLE vms ADD COLUMN backend TEXT;
  ALTER TABLE vms ADD COLUMN mem_size_mib INTEGER;
  UPDATE vms SET image = spec ->> 'image', backend = spec ->> '$.machine.backend', mem_size_mib = spec ->> '$.machine.memSizeMib';
  -- All that is asked of every sandbox at once stands in it: specs, ten times as long, are not read for that.
  CREATE INDEX vms_listing ON vms (created_at, id, name, state, labels, started_at, image, backend, mem_size_mib, owner, expires_at);
  `,
  `
  -- Which machine has which tap, as long as it may run. A tap is named as its interface is.
  CREATE TABLE tap_leases (
    tap TEXT PRIMARY KEY,
    vm_id TEXT NOT NULL UNIQUE REFERENCES vms (id) ON DELETE CASCADE
  ) STRICT;
  `,
  `
  ALTER TABLE vms ADD COLUMN isolation TEXT;  -- ReachedIsolation, JSON: what stands around its VMM
  `,
  `
  -- Which sandbox's VMM has which uid, where VMMs have one of their own; as long as the sandbox exists.
  CREATE TABLE uid_leases (
    uid INTEGER PRIMARY KEY,
    vm_id TEXT NOT NULL UNIQUE REFERENCES vms (id) ON DELETE CASCADE
  ) STRICT;
  `,
  `
  ALTER TABLE vms ADD COLUMN key TEXT;  -- what a program finds it by (getOrCreate); null: nothing
  CREATE UNIQUE INDEX vms_key ON vms (key) WHERE key IS NOT NULL;
  `,
  `
  -- Tells this home from another that is at its path later, where homes are told apart machine-wide (uid-ranges.ts).
  CREATE TABLE home (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    token TEXT NOT NULL
  ) STRICT;
  INSERT INTO home (only, token) VALUES (1, lower(hex(randomblob(16))));
  `,
  `
  ALTER TABLE vms ADD COLUMN template TEXT;  -- key of the template whose memory its machine went on from; null: it booted
  `,
  `
  ALTER TABLE vms ADD COLUMN commands TEXT;  -- CommandShare, JSON: what its guest limits commands to
  `,
  `
  ALTER TABLE vms ADD COLUMN origin TEXT;  -- "snapshot NAME" or "fork of NAME": what its first start went on from; null: neither
  `,
  `
  -- What is kept full of sandboxes that wait to be taken.
  CREATE TABLE pools (
    name TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    config TEXT NOT NULL,            -- VMConfig, JSON: what they are like
    created_at INTEGER NOT NULL,     -- ms since the epoch
    keeper TEXT,                     -- ProcessIdentity, JSON: the process that keeps it and ends with it; null: the supervisor
    failure TEXT                     -- VmFault, JSON: why the last sandbox for it could not be made; null: it could
  ) STRICT;
  ALTER TABLE vms ADD COLUMN pool TEXT;    -- the pool in which it waits; null: it is somebody's
  CREATE INDEX vms_pool ON vms (pool) WHERE pool IS NOT NULL;
  DROP INDEX vms_listing;
  CREATE INDEX vms_listing ON vms (created_at, id, name, state, labels, started_at, image, backend, mem_size_mib, owner, expires_at, pool);
  `,
];
