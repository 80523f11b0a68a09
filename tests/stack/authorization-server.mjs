// The authorization server: npm's certified oidc-provider under the paths, and with the particulars, of Supabase's; and for clients of the user's
// own under those of Auth0's, so that there is a type to be connected with credentials.
import { randomBytes, randomUUID } from "node:crypto";
import { createServer } from "node:http";

import { exportJWK, generateKeyPair } from "jose";
import { Provider, interactionPolicy } from "oidc-provider";

import { consentPage, errorPage, signInPage } from "./authorization-pages.mjs";
import { readBody } from "./body.mjs";
import { freePort, listen, LOOPBACK } from "./listen.mjs";
import { MemoryAdapter } from "./memory-adapter.mjs";
import { projectsOf } from "./projects.mjs";
import { recordedReads } from "./recorded-reads.mjs";

const MINUTE_S = 60;
const DAY_S = 24 * 60 * MINUTE_S;
/** Scopes are fixed on the app at Supabase; a request names none and an answer shows none. */
const SCOPE = "all";
const INTERACTION = /^\/interaction\/[\w-]+$/;
/** The Management API's projects, and one of them. */
const PROJECTS = /^\/v1\/projects(?:\/([^/]+))?$/;

/** What the checks read, below a project, of an organisation or of a tenant. */
const READS = /^\/(v[12]\/(projects|organizations)|api\/v2)\//;
const recorded = recordedReads(["supabase", "auth0"]);

/** Options: `clients`, as RFC 7591 describes them. Others register themselves at `/reg`. */
export async function serve({ clients }) {
  const port = await freePort();
  const issuer = `http://${LOOPBACK}:${port}`;
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const provider = new Provider(issuer, configuration(clients, { ...(await exportJWK(privateKey)), use: "sig", alg: "ES256" }));
  provider.use(supabaseParticulars);
  provider.use(auth0Particulars);
  provider.on("server_error", (_, error) => console.error(error));
  const protocol = provider.callback();

  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, issuer);
    const handled =
      PROJECTS.test(pathname) ? projects(provider, request, response, PROJECTS.exec(pathname)[1])
      : READS.test(pathname) ? read(provider, request, response)
      : pathname === "/v1/oauth/revoke" ? revoke(issuer, request, response)
      : INTERACTION.test(pathname) ? interact(provider, request, response)
      : protocol(request, response);
    Promise.resolve(handled).catch((error) => {
      console.error(error);
      if (response.headersSent) response.destroy();
      else json(response, 500, { message: "Internal server error" });
    });
  });
  await listen(server, port);
  return { url: issuer };
}

function configuration(clients, signingKey) {
  return {
    adapter: MemoryAdapter,
    clients,
    clientDefaults: { token_endpoint_auth_method: "client_secret_basic", id_token_signed_response_alg: "ES256" },
    jwks: { keys: [signingKey] },
    clientAuthMethods: ["client_secret_basic", "client_secret_post"],
    responseTypes: ["code"],
    scopes: [SCOPE],
    pkce: { required: () => true },
    routes: {
      authorization: "/v1/oauth/authorize",
      token: "/v1/oauth/token",
      revocation: "/revocation",
      introspection: "/introspection",
      registration: "/reg",
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      introspection: { enabled: true },
      registration: { enabled: true, idFactory: () => randomUUID() },
      registrationManagement: { enabled: true },
      revocation: { enabled: true },
      rpInitiatedLogout: { enabled: false },
      userinfo: { enabled: false },
    },
    interactions: { policy: askEveryTime(), url: (_, { uid }) => `/interaction/${uid}` },
    loadExistingGrant: ({ oidc }) => {
      const grantId = oidc.result?.consent?.grantId;
      return grantId ? oidc.provider.Grant.find(grantId) : undefined;
    },
    findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    issueRefreshToken: () => true,
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    cookies: { keys: [randomBytes(32).toString("hex")] },
    ttl: {
      AccessToken: 60 * MINUTE_S,
      AuthorizationCode: 5 * MINUTE_S,
      ClientCredentials: 60 * MINUTE_S,
      Grant: 30 * DAY_S,
      IdToken: 60 * MINUTE_S,
      Interaction: 60 * MINUTE_S,
      RefreshToken: 30 * DAY_S,
      Session: 60 * MINUTE_S,
    },
    renderError: (ctx, out) => {
      ctx.type = "html";
      ctx.body = errorPage(out);
    },
  };
}

/** Every connection starts with a sign-in, so that one browser can try several accounts. */
function askEveryTime() {
  const policy = interactionPolicy.base();
  const check = new interactionPolicy.Check("asked_every_time", "sign in for this request", ({ oidc }) => !oidc.result?.login);
  policy.get("login").checks.add(check);
  return policy;
}

/** What Supabase does beside or beyond the standard; each is a matter of a status or a default. */
async function supabaseParticulars(ctx, next) {
  if (ctx.path === "/v1/oauth/authorize" && !ctx.query.scope) ctx.query = { ...ctx.query, scope: SCOPE };
  await next();
  if (ctx.path === "/v1/oauth/token" && ctx.status === 200) {
    ctx.status = 201;
    delete ctx.body.scope;
  }
}

/** Auth0's token endpoint. */
async function auth0Particulars(ctx, next) {
  const { path } = ctx;
  if (path === "/oauth/token") ctx.path = "/v1/oauth/token";
  await next();
  ctx.path = path;
}

/** The sign-in and the consent page, and what the user answers on them. */
async function interact(provider, request, response) {
  const { prompt, params, session, lastSubmission, grantId } = await provider.interactionDetails(request, response);
  const client = (await provider.Client.find(params.client_id)).clientName ?? params.client_id;
  const login = lastSubmission?.login?.accountId ?? session?.accountId;
  if (request.method !== "POST") {
    response.setHeader("content-type", "text/html; charset=utf-8");
    return response.end(prompt.name === "login" ? signInPage({ client }) : consentPage({ client, login }));
  }
  const form = new URLSearchParams(await readBody(request));
  let result;
  if (prompt.name === "login") result = { login: { accountId: form.get("login") || "demo" } };
  else if (form.get("decision") !== "authorize") {
    result = { error: "access_denied", error_description: "The resource owner denied the request" };
  } else {
    const fresh = () => new provider.Grant({ accountId: login, clientId: params.client_id });
    const grant = grantId ? await provider.Grant.find(grantId) : fresh();
    grant.addOIDCScope(params.scope);
    result = { consent: { grantId: await grant.save() } };
  }
  return provider.interactionFinished(request, response, result);
}

/** Supabase's revocation takes JSON and answers 204; behind it is RFC 7009's, which this server also has. */
async function revoke(issuer, request, response) {
  if (request.method !== "POST") return json(response, 405, { message: "Method not allowed" });
  let body;
  try {
    body = JSON.parse(await readBody(request));
  } catch {
    return json(response, 400, { message: "Malformed JSON" });
  }
  const { client_id: id, client_secret: secret, refresh_token: token } = body ?? {};
  if (![id, secret, token].every((field) => typeof field === "string" && field)) {
    return json(response, 400, { message: "client_id, client_secret and refresh_token are required" });
  }
  const credentials = `${encodeURIComponent(id)}:${encodeURIComponent(secret)}`;
  const answer = await fetch(`${issuer}/revocation`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(credentials).toString("base64")}` },
    body: new URLSearchParams({ token, token_type_hint: "refresh_token" }),
  });
  if (!answer.ok) return json(response, answer.status, { message: (await answer.json()).error });
  response.writeHead(204).end();
}

/** The Management API's list of the projects that a grant covers, or one of them by its ref. */
async function projects(provider, request, response, ref) {
  const accessToken = await bearer(provider.AccessToken, request);
  if (!accessToken) return json(response, 401, { message: "Unauthorized" });
  if (request.method !== "GET") return json(response, 405, { message: "Method not allowed" });
  const covered = projectsOf(accessToken.accountId);
  if (ref === undefined) return json(response, 200, covered);
  const project = covered.find((one) => one.ref === decodeURIComponent(ref));
  if (!project) return json(response, 404, { message: "Project not found" });
  // One by itself says more than the list does.
  json(response, 200, { ...JSON.parse(recorded("GET", `/v1/projects/${ref}`).body), ...project });
}

/** What was recorded of the API that a token is for: the Management API of Supabase for a user's, that of Auth0 for a machine's. */
async function read(provider, request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  const isTenant = pathname.startsWith("/api/");
  const accessToken = await bearer(isTenant ? provider.ClientCredentials : provider.AccessToken, request);
  if (!accessToken) return json(response, 401, { error: "Unauthorized", message: "Unauthorized" });
  const ref = /^\/v[12]\/projects\/([^/]+)/.exec(pathname)?.[1];
  const isForeign = ref !== undefined && !projectsOf(accessToken.accountId).some((project) => project.ref === ref);
  const answer = isForeign ? undefined : recorded(request.method, request.url);
  if (!answer) return json(response, 404, { message: "Not found" });
  response.writeHead(answer.status, answer.headers);
  // The tenant is this machine's, whichever was recorded.
  response.end(isTenant ? answer.body.replace('"friendly_name":"Acme"', '"friendly_name":"Local tenant"') : answer.body);
}

/** The token of this kind that a request carries, if it is good. */
async function bearer(Kind, { headers }) {
  const token = /^Bearer (\S+)$/i.exec(headers.authorization ?? "")?.[1];
  return token && Kind.find(token);
}

function json(response, status, body) {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}
