import { isIP } from "node:net";

/** Longest name (RFC 1035), with a dot at its end. */
const MAX_CHARACTERS = 254;
/** Of no name in any language, and a URL's or a path's. */
const NAME = /^[^\s\p{C}/\\:@%?#[\]-][^\s\p{C}/\\:@%?#[\]]*$/u;

/** Whether a text can be a host: an address, or a name; whether there is one of that name is for a resolver to say. Pure. */
export function mayBeHost(text: string): boolean {
  if (isIP(text.replace(/%[\w.-]+$/, "")) !== 0) return true;
  return text.length <= MAX_CHARACTERS && NAME.test(text) && !/^\.|\.\./.test(text);
}
