// Supabase Auth's API, by npm's @supabase/lite on the stack's database. Its own REST interface is not served.
import { App } from "@supabase/lite";
import { createPostgresConnection } from "@supabase/lite/postgres";
import { getRequestListener } from "@hono/node-server";
import { createServer } from "node:http";

import { createTokenSigner } from "./auth-tokens.mjs";
import { listen } from "./listen.mjs";

const PREFIX = "/auth/v1";
const TOKEN_LIFETIME_S = 3600;

/** Serves `/auth/v1`. Options: `databaseUrl` (as supabase_auth_admin), `jwtSecret`, `signingKey` (a private JWK). */
export async function serve({ databaseUrl, jwtSecret, signingKey }) {
  const app = new App({
    connection: createPostgresConnection({ url: databaseUrl }),
    auth: {
      enabled: true,
      jwt_secret: jwtSecret,
      jwt_expiry: TOKEN_LIFETIME_S,
      enable_signup: true,
      enable_refresh_token_rotation: true,
      email: { enable_signup: true, enable_confirmations: false },
    },
    // The migrations are ours to apply, and this role may touch no schema but `auth`.
    db: { migrations: { enabled: false } },
    // The gateway checks keys, as in front of Supabase Auth.
    options: { server: { apiKeys: false, admin: false, disableStudio: true } },
  });
  await app.ensureSystemSchema();
  const signer = await createTokenSigner({ jwtSecret, signingKey });

  const answer = async (request) => {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith(`${PREFIX}/`)) return new Response(null, { status: 404 });
    if (pathname === `${PREFIX}/.well-known/jwks.json`) return signer.jwks();
    const response = await app.fetch(await signer.translateRequest(request), { peerAddress: null });
    return signer.translateResponse(response, issuerFor(request));
  };
  const url = await listen(createServer(getRequestListener(answer)));
  return { url };
}

/** A project's issuer is its public URL, which here is whatever its user called it: the gateway's, or a proxy's. */
function issuerFor(request) {
  return `http://${request.headers.get("host")}${PREFIX}`;
}
