// The authorization servers of this folder: how they are started, and what stands in their databases.
import path from "node:path";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";

import { startChild } from "../stack/child.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));

/** By name: the program, and what of its database is a token that works. */
export const SERVERS = {
  "django-oauth-toolkit": {
    script: "django_server.py",
    refreshTokens: "select token from oauth2_provider_refreshtoken where revoked is null",
    accessTokens: "select token from oauth2_provider_accesstoken where expires > datetime('now')",
    /** The user takes back all that the app has. */
    withdraw: ["update oauth2_provider_refreshtoken set revoked = datetime('now')", "update oauth2_provider_accesstoken set expires = datetime('now', '-1 hour')"],
  },
  Authlib: {
    script: "authlib_server.py",
    refreshTokens: "select refresh_token as token from oauth2_token where refresh_token_revoked_at = 0",
    accessTokens: `
      select access_token as token from oauth2_token
      where access_token_revoked_at = 0 and issued_at + expires_in > unixepoch()`,
    withdraw: ["update oauth2_token set access_token_revoked_at = unixepoch(), refresh_token_revoked_at = unixepoch()"],
  },
};

/** Starts a server on this port: `{ url, liveTokens(), withdraw(), stop() }`. */
export async function startServer(name, { program, port, dir, client_id, client_secret, redirectUris }) {
  const { script, refreshTokens, accessTokens, withdraw } = SERVERS[name];
  const file = path.join(dir, `${name}-${port}.sqlite`);
  const url = `http://127.0.0.1:${port}`;
  const { stop } = await startChild({
    name: `${name}-${port}`,
    command: program,
    args: [
      ...["-B", path.join(HERE, script), "--port", String(port), "--database", file],
      ...["--client-id", client_id, "--client-secret", client_secret],
      ...redirectUris.flatMap((uri) => ["--redirect-uri", uri]),
    ],
    ready: /Running on/,
    logs: path.join(dir, "logs"),
  });
  const using = (act) => {
    const database = new DatabaseSync(file);
    try {
      database.exec("pragma busy_timeout = 10000");
      return act(database);
    } finally {
      database.close();
    }
  };
  return {
    url,
    stop,
    /** Every token that works, sorted: `{ access, refresh }`. */
    liveTokens: () =>
      using((database) => {
        const tokens = (query) => database.prepare(query).all().map(({ token }) => token).sort();
        return { access: tokens(accessTokens), refresh: tokens(refreshTokens) };
      }),
    withdraw: () => using((database) => withdraw.forEach((statement) => database.exec(statement))),
  };
}
