/** How a registry wants to be told who asks (RFC 9110, 11.6.1; https://distribution.github.io/distribution/spec/auth/token/). */
export type Challenge =
  | { readonly scheme: "basic" }
  | {
      readonly scheme: "bearer";
      /** where tokens are given out */
      readonly realm: string;
      readonly service: string | undefined;
      readonly scope: string | undefined;
    };

/** The challenge of a WWW-Authenticate header that can be met, a token's first; undefined: there is none. Pure. */
export function parseChallenge(header: string): Challenge | undefined {
  if (header.length > 8192) return undefined;
  let basic = false;
  for (const { scheme, params } of challenges(header)) {
    const realm = params.get("realm");
    if (scheme === "bearer" && realm !== undefined)
      return { scheme, realm, service: params.get("service"), scope: params.get("scope") };
    if (scheme === "basic") basic = true;
  }
  return basic ? { scheme: "basic" } : undefined;
}

function challenges(header: string): { scheme: string; params: Map<string, string> }[] {
  const found: { scheme: string; params: Map<string, string> }[] = [];
  // NAME=VALUE, NAME="VALUE", or a scheme's name alone
  const token = /\s*,?\s*([\w!#$%&'*+.^`|~-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y;
  for (let match = token.exec(header); match !== null; match = token.exec(header)) {
    const [, name = "", quoted, bare] = match;
    const value = quoted?.replace(/\\(.)/g, "$1") ?? bare;
    if (value === undefined) found.push({ scheme: name.toLowerCase(), params: new Map() });
    else found.at(-1)?.params.set(name.toLowerCase(), value);
  }
  return found;
}
