import { lookup } from "node:dns";
import { get as getHttp, type IncomingMessage } from "node:http";
import { get as getHttps } from "node:https";
import type { LookupFunction } from "node:net";
import { specialOf } from "../../egress/special-addresses.ts";
import { ownNetworks } from "../../host/own-networks.ts";
import type { Deadline } from "../../util/deadline.ts";
import { type IpAddress, parseIp } from "../../util/ip-address.ts";

/** Whether a file may be fetched from an address. */
export type MayReach = (address: IpAddress) => boolean;

const MAX_REDIRECTS = 10;

/** An address of the public internet, as a sandbox with an open network reaches: a Dockerfile may be anybody's. */
export function isPublic(address: IpAddress): boolean {
  return specialOf(address, ownNetworks()) === undefined;
}

/**
 * Fetches a file over HTTP or HTTPS; redirects are followed.
 * @throws Error that says why not
 */
export async function fetchUrl(
  text: string,
  mayReach: MayReach,
  deadline: Deadline,
): Promise<IncomingMessage> {
  let url = new URL(text);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await getOnce(url, mayReach, deadline);
    const { statusCode = 0, headers } = answer;
    if (statusCode === 200) return answer;
    answer.destroy();
    if (![301, 302, 303, 307, 308].includes(statusCode) || headers.location === undefined)
      throw new Error(`the server answers ${statusCode}`);
    const next = new URL(headers.location, url);
    if (next.protocol !== "https:" && next.protocol !== url.protocol)
      throw new Error(`it is redirected to ${next.protocol}//${next.host}`);
    url = next;
  }
  throw new Error("it is redirected again and again");
}

function getOnce(url: URL, mayReach: MayReach, deadline: Deadline): Promise<IncomingMessage> {
  const refused = (address: string): Error =>
    new Error(`${url.hostname} is ${address}, which is not of the public internet`);
  const checked: LookupFunction = (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const wrong = addresses.find(({ address }) => !mayReachText(address, mayReach));
      if (wrong !== undefined) return callback(refused(wrong.address), []);
      if (options.all === true) return callback(null, addresses);
      const [first] = addresses;
      return callback(null, first!.address, first!.family);
    });
  };
  return new Promise((resolve, reject) => {
    const literal = url.hostname.replace(/^\[|\]$/g, "");
    if (parseIp(literal) !== undefined && !mayReachText(literal, mayReach)) {
      reject(refused(literal));
      return;
    }
    const get = url.protocol === "https:" ? getHttps : getHttp;
    const headers = { "user-agent": "smolvm", "accept-encoding": "identity" };
    get(url, { lookup: checked, signal: deadline.signal, headers }, resolve).on("error", reject);
  });
}

function mayReachText(text: string, mayReach: MayReach): boolean {
  const address = parseIp(text);
  return address !== undefined && mayReach(address);
}
