import type { Socket } from "node:net";

/** Where a host process reaches a sandbox's channel. */
export type Endpoint =
  /**
   * `greeting` is sent first: it tells whoever listens there whose channel is meant. `address` is where to connect, if not to
   * `path` (a named pipe, whose name is in the file)
   */
  | {
      readonly kind: "unix";
      readonly path: string;
      readonly address?: string | undefined;
      readonly greeting?: string;
    }
  /** hosts without Unix sockets: `dial` finds in the file `path` where the machine's relay is, and shows it the token */
  | {
      readonly kind: "relay";
      readonly path: string;
      readonly dial: (signal: AbortSignal) => Promise<Socket>;
    };
