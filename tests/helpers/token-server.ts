import { createSign, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";

/** Who gives out tokens for a registry (https://distribution.github.io/distribution/spec/auth/jwt/). */
export interface TokenServer {
  readonly realm: string;
  /** what was asked for, one after the other */
  readonly scopes: string[];
  stop(): Promise<void>;
}

/**
 * A server of tokens on 127.0.0.1, with TLS. Everybody may pull; who logs in may do all that is asked for.
 * @param options.login "name:password"
 */
export async function startTokenServer({
  certificate,
  key,
  login,
}: {
  certificate: string;
  key: string;
  login: string;
}): Promise<TokenServer> {
  const [cert, privateKey] = [readFileSync(certificate), readFileSync(key)];
  const x5c = [new X509Certificate(cert).raw.toString("base64")];
  const scopes: string[] = [];
  const server = createServer({ cert, key: privateKey }, (request, response) => {
    const asked = new URL(request.url ?? "/", "https://127.0.0.1").searchParams;
    const { authorization } = request.headers;
    const isKnown = authorization === `Basic ${Buffer.from(login).toString("base64")}`;
    if (authorization !== undefined && !isKnown) {
      response.writeHead(401).end("{}");
      return;
    }
    const access = asked.getAll("scope").map((scope) => {
      scopes.push(scope);
      const [type, name, actions = ""] = scope.split(":");
      return { type, name, actions: actions.split(",").filter((action) => isKnown || action === "pull") };
    });
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: "issuer",
      sub: "",
      aud: asked.get("service"),
      exp: now + 300,
      nbf: now - 60,
      access,
    };
    const text = [{ typ: "JWT", alg: "RS256", x5c }, claims]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    const signature = createSign("RSA-SHA256").update(text).sign(privateKey, "base64url");
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ token: `${text}.${signature}` }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    realm: `https://127.0.0.1:${port}/token`,
    scopes,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}
