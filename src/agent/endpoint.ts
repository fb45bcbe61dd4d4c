/** Where a host process reaches a sandbox's channel. */
export type Endpoint =
  | { readonly kind: "unix"; readonly path: string }
  /** hosts without Unix sockets: loopback TCP; the token is sent first, one line */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly token: string };
