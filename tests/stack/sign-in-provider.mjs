// Where users of the project sign in instead of with a password: the part of GitHub's OAuth that Supabase Auth uses, on GitHub Enterprise's paths.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { providerPage } from "./authorization-pages.mjs";
import { readBody } from "./body.mjs";
import { listen } from "./listen.mjs";

const AUTHORIZE = "/login/oauth/authorize";
const BODY_MAX = 16 * 1024;

/** Serves it. Options: `client_id` and `client_secret`, those of Supabase Auth. */
export async function serve({ client_id, client_secret }) {
  /** E-mail addresses by code, then by token. */
  const codes = new Map();
  const tokens = new Map();
  const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://provider");
    const json = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    const form = request.method === "POST" ? new URLSearchParams(await readBody(request, BODY_MAX)) : undefined;
    const { client_id: client, redirect_uri, state } = Object.fromEntries(url.searchParams);
    if (url.pathname === AUTHORIZE && client === client_id && !form) {
      return response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end(providerPage());
    }
    if (url.pathname === AUTHORIZE && client === client_id) {
      const back = new URL(redirect_uri);
      back.searchParams.set("state", state);
      if (form.get("decision") === "cancel") back.searchParams.set("error", "access_denied");
      else {
        const code = randomUUID();
        codes.set(code, form.get("email"));
        back.searchParams.set("code", code);
      }
      return response.writeHead(302, { location: back.href }).end();
    }
    if (url.pathname === "/login/oauth/access_token" && form?.get("client_secret") === client_secret) {
      const email = codes.get(form.get("code"));
      codes.delete(form.get("code"));
      if (!email) return json(200, { error: "bad_verification_code" });
      const access_token = randomUUID();
      tokens.set(access_token, email);
      return json(200, { access_token, token_type: "bearer", scope: "user:email" });
    }
    const email = tokens.get(/^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1]);
    if (!email) return json(404, { message: "Not Found" });
    if (url.pathname === "/api/v3/user") return json(200, { id: idOf(email), login: email.split("@")[0], name: null });
    if (url.pathname === "/api/v3/user/emails") return json(200, [{ email, verified: true, primary: true }]);
    return json(404, { message: "Not Found" });
  });
  return { url: await listen(server) };
}

/** The same number for the same address. */
function idOf(email) {
  return [...email].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 2 ** 31, 7);
}
