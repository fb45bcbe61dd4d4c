/** Whether a host is this machine by its name or address, as it stands in a URL. Pure. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  return (
    host === "localhost" ||
    host.endsWith(".localhost") ||
    host === "::1" ||
    /^127(?:\.\d{1,3}){3}$/.test(host)
  );
}

/** What there is of proxies in the environment. */
export interface ProxySettings {
  readonly httpsProxy?: string | undefined;
  readonly httpProxy?: string | undefined;
  readonly noProxy?: string | undefined;
}

/**
 * The proxy that a URL is asked through, or undefined. This machine is never asked through one. NO_PROXY is a list of hosts, each with a
 * port or without; `example.com` and `.example.com` are for those below it as well, `*` for all. Pure.
 */
export function proxyFor(url: URL, { httpsProxy, httpProxy, noProxy = "" }: ProxySettings): URL | undefined {
  const proxy = url.protocol === "https:" ? httpsProxy : httpProxy;
  if (proxy === undefined || isLoopback(url.hostname)) return undefined;
  const host = url.hostname.toLowerCase();
  const port = url.port || (url.protocol === "https:" ? "443" : "80");
  for (const entry of noProxy.toLowerCase().split(/[\s,]+/)) {
    if (entry === "") continue;
    if (entry === "*") return undefined;
    const [, name = "", only] = /^(.*?)(?::(\d+))?$/.exec(entry)!;
    const domain = name.replace(/^\*?\./, "");
    if ((only === undefined || only === port) && (host === domain || host.endsWith(`.${domain}`)))
      return undefined;
  }
  const text = proxy.includes("://") ? proxy : `http://${proxy}`;
  return URL.canParse(text) ? new URL(text) : undefined;
}
