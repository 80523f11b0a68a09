// Supabase's gateway: one origin for /rest/v1 and /auth/v1, which demands an API key and turns it into a role.
import { Agent, createServer, request as httpRequest } from "node:http";
import { pipeline } from "node:stream";

import { listen } from "./listen.mjs";

/** Auth answers these without a key: browsers and verifiers of tokens come with none. */
const OPEN_PATHS = /^\/auth\/v1\/(verify|callback|authorize|\.well-known\/)/;

const REFUSALS = {
  missing: { message: "No API key found in request", hint: "No `apikey` request header or url param was found." },
  invalid: { message: "Invalid API key", hint: "Double check your Supabase `anon` or `service_role` API key." },
  browser: {
    message: "Forbidden use of secret API key in browser",
    hint: "Secret API keys can only be used in a protected environment and should never be used in a browser.",
  },
};

/** Options: `routes` ([{ prefix, upstream, path }]), and the keys as keys.mjs makes them. */
export async function serve({ routes, keys }) {
  // PostgREST closes a connection that was idle for 30 s; give it up before, so that none is used while it closes.
  const agent = new Agent({ keepAlive: true, timeout: 10_000 });
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://gateway");
    const route = routes.find(({ prefix }) => url.pathname === prefix || url.pathname.startsWith(`${prefix}/`));
    if (!route) return refuse(response, 404, { message: "no Route matched with those values" });
    const { refusal, headers } = authorize(request, url, keys);
    if (refusal) return refuse(response, 401, refusal);
    forward({ request, response, headers, agent, route, url });
  });
  // For the same reason, longer than clients keep theirs.
  server.keepAliveTimeout = 600_000;
  return { url: await listen(server) };
}

/** What the request may go on with: `{ headers }`, or `{ refusal }`. */
function authorize(request, url, keys) {
  const headers = { ...request.headers };
  const key = headers.apikey ?? url.searchParams.get("apikey") ?? undefined;
  if (request.method === "OPTIONS" || OPEN_PATHS.test(url.pathname)) return { headers };
  if (key === undefined) return { refusal: REFUSALS.missing };
  const jwt = roleToken(key, keys);
  if (!jwt) return { refusal: REFUSALS.invalid };
  if (key === keys.secretKey && /mozilla\//i.test(headers["user-agent"] ?? "")) return { refusal: REFUSALS.browser };
  delete headers.apikey;
  // Clients send their key as a bearer token too when no user is signed in. A new key is no token: its role's is put in.
  const bearer = headers.authorization?.replace(/^Bearer /i, "");
  if (bearer === undefined || bearer === key) headers.authorization = `Bearer ${jwt}`;
  return { headers };
}

/** The token of the key's role. An old key is that token itself. */
function roleToken(key, { anonKey, serviceRoleKey, publishableKey, secretKey }) {
  const tokens = new Map([
    [anonKey, anonKey],
    [serviceRoleKey, serviceRoleKey],
    [publishableKey, anonKey],
    [secretKey, serviceRoleKey],
  ]);
  return tokens.get(key);
}

function forward({ request, response, headers, agent, route, url }) {
  const target = new URL(route.upstream);
  if (url.searchParams.has("apikey")) url.searchParams.delete("apikey");
  const upstream = httpRequest({
    agent,
    host: target.hostname,
    port: target.port,
    method: request.method,
    path: (`${route.path}${url.pathname.slice(route.prefix.length)}` || "/") + url.search,
    headers: withoutHopByHop(headers),
  });
  upstream.once("response", (answer) => {
    response.writeHead(answer.statusCode, withoutHopByHop(answer.headers));
    // An answer cut off upstream is cut off here as well, by destroying the connection.
    pipeline(answer, response, () => {});
  });
  upstream.once("error", () => {
    if (response.headersSent) return response.destroy();
    refuse(response, 502, { message: "An invalid response was received from the upstream server" });
  });
  response.once("close", () => response.writableFinished || upstream.destroy());
  request.pipe(upstream);
}

function withoutHopByHop({ connection: _c, "keep-alive": _k, ...headers }) {
  return headers;
}

function refuse(response, status, body) {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8", connection: "close" });
  response.end(JSON.stringify(body));
}
