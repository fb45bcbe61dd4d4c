import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";

/*
 * How the two ends of a relayed connection show each other that they know the sandbox's token, without saying it. Each is
 * one line of ASCII:
 *
 *   client -> relay   NAME NONCE                 NAME: which of the machine's sockets, "ctl" or "ch0" ...
 *   relay  -> client  PROOF(relay) NONCE
 *   client -> relay   PROOF(client)
 *
 * PROOF(who) is HMAC-SHA256(token, "who NAME NONCE-OF-THE-OTHER"). The relay answers first, so that a client tells nothing
 * to somebody who has taken the port of a relay that is gone.
 */

/** Longer lines are no part of it. */
export const MAX_LINE_BYTES = 200;

const NAME = /^[a-z]+\d*$/;
const HEX_32 = /^[0-9a-f]{64}$/;

export function newToken(): string {
  return randomBytes(32).toString("hex");
}

export const newNonce: () => string = newToken;

/** What that end says to show that it knows the token. */
export function proof(token: string, end: "relay" | "client", name: string, nonce: string): string {
  return createHmac("sha256", Buffer.from(token, "hex")).update(`${end} ${name} ${nonce}`).digest("hex");
}

/** Compared in constant time. */
export function isProof(said: string, expected: string): boolean {
  return HEX_32.test(said) && timingSafeEqual(Buffer.from(said, "hex"), Buffer.from(expected, "hex"));
}

/** The client's first line. */
export function parseOpening(line: string): { name: string; nonce: string } | undefined {
  const [name, nonce, ...rest] = line.split(" ");
  if (name === undefined || nonce === undefined || rest.length > 0) return undefined;
  return NAME.test(name) && HEX_32.test(nonce) ? { name, nonce } : undefined;
}
