// Between the worker and the authorization server: writes down what was really given out, then loses, delays and garbles it.
//
// The server has Supabase's paths. Under those of the catalogue's gitlab entry it is reached too, so that there is a type whose second grant
// is known to leave the first alone.
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

import { listen } from "../../stack/listen.mjs";

/** Longer than the worker waits for a provider. */
const TOO_LATE_MS = 21_000;
const HTML = "<!doctype html><title>502 Bad Gateway</title><h1>502 Bad Gateway</h1>";
const HUGE = " ".repeat(2 * 1024 * 1024);
const BODY_LIMIT = 64 * 1024;

const ROUTES = {
  "/v1/oauth/authorize": { type: "supabase", act: "authorize" },
  "/v1/oauth/token": { type: "supabase", act: "token" },
  "/v1/oauth/revoke": { type: "supabase", act: "revoke", to: "/v1/oauth/revoke" },
  "/v1/projects": { type: "supabase", act: "identity" },
  "/oauth/authorize": { type: "gitlab", act: "authorize" },
  "/oauth/token": { type: "gitlab", act: "token" },
  "/oauth/revoke": { type: "gitlab", act: "revoke", to: "/revocation" },
  "/api/v4/user": { type: "gitlab", act: "identity" },
};

/** Token answers that are odd and say all the same what was granted. */
const ODD = [
  (body) => ({ text: JSON.stringify({ ...body, expires_in: 0 }) }),
  (body) => ({ text: JSON.stringify({ ...body, expires_in: String(body.expires_in) }) }),
  (body) => ({ text: JSON.stringify({ ...body, expires_in: null }) }),
  (body) => ({ text: JSON.stringify(body), type: "text/plain" }),
  (body) => ({ text: JSON.stringify(body), type: undefined }),
  (body) => ({ text: `${JSON.stringify(body).slice(0, -1)},"odd":"\\ud800"}` }),
  (body) => ({ text: `${JSON.stringify(body).slice(0, -1)},"odd":1e400}` }),
  (body) => ({ text: JSON.stringify({ ...body, scope: null, odd: "\u0000" }) }),
  (body) => ({ text: JSON.stringify({ ...body, token_type: "BEARER" }) }),
];

/** One project, which a check asks for. */
const PROJECT = /^\/v1\/projects\/[^/]+$/;

/** How a request fails before the server hears of it. */
const BEFORE = {
  drop: ({ response }) => response.destroy(),
  "5xx": ({ response }) => response.writeHead(503).end("busy"),
  html: ({ response }) => response.writeHead(502, { "content-type": "text/html" }).end(HTML),
};

/** How an answer is lost that the server has given. */
const LOST = {
  cut: ({ response }, text) => {
    response.writeHead(200, { "content-type": "application/json", "content-length": text.length + 1 });
    response.write(text.slice(0, text.length / 2), () => response.destroy());
  },
  html: ({ response }) => response.writeHead(200, { "content-type": "text/html" }).end(HTML),
  huge: ({ response }, text) => response.writeHead(200, { "content-type": "application/json" }).end(HUGE + text),
  late: async ({ response }, text) => {
    await delay(TOO_LATE_MS);
    response.writeHead(200, { "content-type": "application/json" }).end(text);
  },
};

/** Returns `{ url, faults (the number of faults), calm(), stop() }`. `isVictim(owner)`: whose requests may fail. */
export async function startProvider({ server, ledger, random, isVictim, report }) {
  let calm = false;
  const choose = (owner, one) => !calm && isVictim(owner) && random.next() < one;

  const serve = async (incoming, response) => {
    incoming.on("error", () => {});
    response.on("error", () => {});
    const url = new URL(incoming.url, "http://provider");
    const route = ROUTES[url.pathname] ?? (PROJECT.test(url.pathname) ? { ...ROUTES["/v1/projects"], to: url.pathname } : undefined);
    if (!route) return response.writeHead(404).end();
    if (route.act === "authorize") {
      url.searchParams.delete("scope");
      return response.writeHead(302, { location: `${server}/v1/oauth/authorize${url.search}` }).end();
    }
    let body = "";
    for await (const chunk of incoming.setEncoding("utf8")) {
      body += chunk;
      if (body.length > BODY_LIMIT) return response.destroy();
    }
    const { method, headers: { authorization, "content-type": type } } = incoming;
    const ask = (path) => fetch(server + path, {
      method,
      headers: { ...(authorization && { authorization }), ...(type && { "content-type": type }) },
      body: method === "GET" ? undefined : body,
    });
    await ACTS[route.act]({ route, authorization, type, body, ask, response });
  };

  const ACTS = {
    async token({ route, body, ask, response }) {
      const form = new URLSearchParams(body);
      const [code, spent] = [form.get("code") ?? undefined, form.get("refresh_token") ?? undefined];
      const owner = code ? ledger.ownerOfCode(code) : ledger.byToken(spent)?.owner;
      if (choose(owner, 0.1)) return fail(BEFORE, { response });
      if (choose(owner, 0.1)) await delay(random.between(200, 4000));
      const from = Date.now();
      const answer = await ask("/v1/oauth/token");
      const json = await answer.json();
      if (!answer.ok || !json.access_token) {
        return response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(json));
      }
      // So short that the schedule soon comes to each: it refreshes what ends within ten minutes.
      json.expires_in = random.between(605, 660);
      const { grant, entry, redemption } = ledger.note({ ...json, type: route.type, code, spent, from });
      report.count(code ? "grants" : "tokens refreshed");
      try {
        // A lost answer to a refresh is a lost connection, whatever anybody does: not too many of them.
        if (choose(owner, code ? 0.1 : 0.04)) {
          entry.lost = true;
          report.count("token answers lost");
          await fail(LOST, { response }, JSON.stringify(json));
        } else if (choose(owner, 0.15)) {
          report.count("token answers that are odd");
          const { text, type = "application/json" } = random.pick(ODD)(json);
          response.writeHead(answer.status, type && { "content-type": type }).end(text);
        } else {
          response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(json));
        }
      } finally {
        redemption.until = Date.now();
        // Nobody was there any more to take it.
        if (response.destroyed && !response.writableFinished) entry.lost = true;
      }
      return grant;
    },

    async identity({ route, authorization, ask, response }) {
      const owner = ledger.byToken(authorization?.slice("Bearer ".length))?.owner;
      if (choose(owner, 0.08)) return fail(BEFORE, { response });
      if (choose(owner, 0.05)) await delay(random.between(200, 4000));
      const answer = await ask(route.to ?? "/v1/projects");
      let json = await answer.json();
      if (answer.ok && route.type === "gitlab") json = json.length ? { id: json[0].ref, username: json[0].name } : {};
      if (choose(owner, 0.05)) return fail(LOST, { response }, JSON.stringify(json));
      response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(json));
    },

    async revoke({ route, body, type, ask, response }) {
      const token = type?.includes("json") ? JSON.parse(body).refresh_token : new URLSearchParams(body).get("token");
      const grant = ledger.byToken(token);
      const owner = grant?.owner;
      if (choose(owner, 0.3)) return fail(BEFORE, { response });
      if (choose(owner, 0.1)) await delay(random.between(200, 4000));
      const answer = await ask(route.to);
      const text = await answer.text();
      if (grant) grant.revocationAnsweredAt ??= Date.now();
      report.count("revocations at the provider");
      if (choose(owner, 0.1)) return response.destroy();
      response.writeHead(answer.status).end(answer.status === 204 ? undefined : text);
    },
  };

  async function fail(ways, ...parts) {
    const name = random.pick(Object.keys(ways));
    report.count("faults of the provider");
    await ways[name](...parts);
  }

  const listener = createServer((incoming, response) => {
    serve(incoming, response).catch((error) => {
      report.count("requests that the provider could not pass on");
      if (!response.headersSent) response.writeHead(500);
      response.end();
      void error;
    });
  });
  const url = await listen(listener);
  return {
    url,
    calm: () => void (calm = true),
    async stop() {
      listener.closeAllConnections();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}
