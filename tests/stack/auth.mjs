// Supabase Auth's API, by npm's @supabase/lite on the stack's database. Its own REST interface is not served.
import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { getRequestListener } from "@hono/node-server";
import { appendFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import path from "node:path";

import { createTokenSigner } from "./auth-tokens.mjs";
import { listen } from "./listen.mjs";

const PREFIX = "/auth/v1";
const TOKEN_LIFETIME_S = 3600;
/** bcrypt's least: the users of this stack have nothing to protect, and hashing their passwords took a third of its time. */
const BCRYPT_COST = "4";

/**
 * Serves `/auth/v1`. Options: `databaseUrl` (as supabase_auth_admin), `jwtSecret`, `signingKey` (a private JWK), `github` (the client and the `url` of
 * the provider at which users sign in), and `mail`, a folder: what is sent to an address is appended to the file of its name, a line of JSON each.
 */
export async function serve({ databaseUrl, jwtSecret, signingKey, github, mail }) {
  process.env.LITE_AUTH_BCRYPT_COST = BCRYPT_COST;
  mkdirSync(mail, { recursive: true });
  const server = createServer();
  const url = await listen(server);
  const app = new App({
    connection: createPostgresConnection({ url: databaseUrl }),
    auth: {
      enabled: true,
      jwt_secret: jwtSecret,
      jwt_expiry: TOKEN_LIFETIME_S,
      enable_signup: true,
      enable_refresh_token_rotation: true,
      email: { enable_signup: true, enable_confirmations: false },
      external: { github: { enabled: true, client_id: github.client_id, secret: github.client_secret, url: github.url } },
      // A project lists the addresses of its pages. Each test's worker has a port of its own.
      additional_redirect_urls: ["http://localhost:*/api/session/callback"],
    },
    // Where the provider sends the browser back to.
    api: { external_url: url },
    // The migrations are ours to apply, and this role may touch no schema but `auth`.
    db: { migrations: { enabled: false } },
    // The gateway checks keys, as in front of Supabase Auth.
    options: {
      server: { apiKeys: false, admin: false, disableStudio: true },
      drivers: {
        email: { send: async (message) => appendFileSync(path.join(mail, message.to), `${JSON.stringify(message)}\n`, { mode: 0o600 }) },
      },
    },
  });
  await app.ensureSystemSchema();
  const signer = await createTokenSigner({ jwtSecret, signingKey });

  const answer = async (request) => {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith(`${PREFIX}/`)) return new Response(null, { status: 404 });
    if (pathname === `${PREFIX}/.well-known/jwks.json`) return signer.jwks();
    const response = await app.fetch(await signer.translateRequest(await asLiteKnows(request)), { peerAddress: null });
    return signer.translateResponse(response, issuerFor(request));
  };
  server.on("request", getRequestListener(answer));
  return { url };
}

/** Supabase Auth's `email` stands for every kind of code by e-mail; @supabase/lite knows that of a sign-in as `magiclink` only. */
async function asLiteKnows(request) {
  if (!request.url.endsWith(`${PREFIX}/verify`) || request.method !== "POST") return request;
  const body = await request.json();
  return new Request(request.url, {
    method: "POST",
    headers: request.headers,
    body: JSON.stringify({ ...body, type: body.type === "email" ? "magiclink" : body.type }),
  });
}

/** A project's issuer is its public URL, which here is whatever its user called it: the gateway's, or a proxy's. */
function issuerFor(request) {
  return `http://${request.headers.get("host")}${PREFIX}`;
}
