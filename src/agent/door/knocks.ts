import type { Duplex } from "node:stream";
import { SmolVMError } from "../../errors.ts";
import { Deadline } from "../../util/deadline.ts";
import { type Arrival, takeUp } from "../forward/forward.ts";
import { guestError } from "../session/guest-error.ts";
import type { AgentSession } from "../session/session.ts";
import { DoorConnection, Open } from "../wire/messages.ts";
import { RecordDecoder } from "../wire/records.ts";
import { type Draft, decode, encode } from "../wire/schema.ts";
import { Stock } from "./stock.ts";

/** Credit for what the guest tells: a thousand connections. */
const WINDOW = 256 * 1024;
/** How long the guest's agent may take to hand a connection over, in ms. */
const ACCEPT_MS = 30_000;
/** How long it may take to begin, in ms. */
const OPEN_MS = 15_000;
const MAX_PORT = 65_535;

/** A connection of the guest's that waits for an answer. */
export interface DoorKnock {
  /** the name that the guest's program looked up, as its agent says; undefined: it used an address, or a port that was brought */
  readonly name: string | undefined;
  /** that address: 4 or 16 octets; undefined where there is a name. Of a brought port: none */
  readonly address: Uint8Array | undefined;
  readonly port: number;
  /** @param window how much the guest may send ahead, in bytes */
  accept(window: number): Promise<Duplex>;
  /** has the guest's program see it reset */
  refuse(): void;
}

/** What tells of connections, and is listened to. */
export interface Served {
  /** resolves when it is no longer, with why; never rejects */
  readonly ended: Promise<unknown>;
  close(): void;
}

/**
 * Is told of connections by the guest's agent. Resolves when it tells. Keeps neither the session nor this process.
 * @param open the request that has it tell
 * @param ahead streams wait for connections, so that most need not be told first
 * @param what that in the user's words
 * @param knock must not throw
 * @throws SmolVMError TIMEOUT, AGENT_LOST, AGENT_PROTOCOL, and what the guest's refusal means
 */
export function serveKnocks(
  session: AgentSession,
  { open, ahead, what }: { readonly open: Draft<Open>; readonly ahead: boolean; readonly what: string },
  knock: (connection: DoorKnock) => void,
): Promise<Served> {
  return new Promise((resolve, reject) => {
    // Until the guest has answered, it is waited for: the stream itself would keep nobody.
    const waiting = setTimeout(() => {
      stream.abandon();
      reject(new SmolVMError("TIMEOUT", `${what}: the guest did not answer within ${OPEN_MS} ms`));
    }, OPEN_MS);
    const settled = (): void => clearTimeout(waiting);
    let ended: (reason: unknown) => void = () => {};
    const end = new Promise<unknown>((done) => {
      ended = done;
    });
    let closed = false;
    const stock = ahead
      ? new Stock(session, (arrival) => {
          const connection = knockOfArrival(arrival, () => stock?.decided());
          if (connection !== undefined) knock(connection);
        })
      : undefined;
    const over = (reason: unknown): void => {
      stock?.close();
      ended(reason);
    };
    const decoder = new RecordDecoder((record) => {
      if (closed) return; // of what came in one piece, the rest
      const connection = knockOf(session, decode(DoorConnection, record));
      if (connection !== undefined) knock(connection);
      stock?.fill();
    });
    const stream = session.open(
      {
        open: encode(Open, { ...open, window: WINDOW }),
        what,
        effects: false,
        opens: true,
        window: WINDOW,
        background: true,
      },
      {
        opened: () => {
          settled();
          resolve({
            ended: end,
            close: () => {
              closed = true;
              stream.abandon(); // its result is not told any more
              over(undefined);
            },
          });
          stock?.fill();
        },
        data: (_channel, piece) => {
          try {
            decoder.push(piece);
            // Who does not read how its connections were answered tells of no more: the answers are this process's to keep.
            void session.flushed().then(() => stream.grant(1, piece.length));
          } catch (error) {
            stream.abandon(); // what it tells is no record
            over(error);
          }
        },
        result: (result) => {
          settled();
          const reason = result.error === undefined ? undefined : guestError(result.error, "machine", what);
          reject(reason);
          over(reason);
        },
        lost: (error) => {
          settled();
          reject(error);
          over(error);
        },
      },
    );
  });
}

/** Where the guest says that a connection is to go, undefined if that makes no sense. */
function wishOf(told: DoorConnection): Pick<DoorKnock, "name" | "address" | "port"> | undefined {
  const { port } = told;
  if (port < 1 || port > MAX_PORT) return undefined;
  // Copies: what they were decoded from is used again.
  const name = told.name.length === 0 ? undefined : Buffer.from(told.name).toString("latin1");
  return { name, address: name === undefined ? Uint8Array.from(told.address) : undefined, port };
}

/** A connection that has come on a stream that waited for it. */
function knockOfArrival({ told, connection, widen }: Arrival, decided: () => void): DoorKnock | undefined {
  const refuse = (): void => {
    connection.destroy(new Error("it is refused"));
    decided();
  };
  const wish = wishOf(told);
  if (wish === undefined) return void refuse();
  return {
    ...wish,
    accept: async (window) => {
      decided();
      // Before anybody listened its program has reset it, or the session has ended.
      if (connection.destroyed) throw connection.errored ?? new Error("it is over");
      widen(window);
      return connection;
    },
    refuse,
  };
}

/** What the guest tells, undefined if it makes no sense. */
function knockOf(session: AgentSession, told: DoorConnection): DoorKnock | undefined {
  const { connection } = told;
  const wish = wishOf(told);
  if (wish === undefined) return undefined;
  return {
    ...wish,
    accept: (window) =>
      takeUp(session, connection, window, Deadline.within(ACCEPT_MS, "taking up a connection")),
    refuse: () => {
      if (session.end !== undefined) return; // then the guest has reset it
      const open = encode(Open, { doorAccept: { connection }, window: WINDOW });
      const request = { open, what: "refusing a connection", effects: false, opens: true, window: WINDOW };
      session.open({ ...request, background: true }, { result() {}, lost() {} }).abandon();
    },
  };
}
