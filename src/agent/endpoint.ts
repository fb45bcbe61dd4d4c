/** Where a host process reaches a sandbox's channel. */
export type Endpoint =
  /** `greeting` is sent first: it tells whoever listens there whose channel is meant */
  | { readonly kind: "unix"; readonly path: string; readonly greeting?: string }
  /** hosts without Unix sockets: loopback TCP; the token is sent first, one line */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly token: string };
