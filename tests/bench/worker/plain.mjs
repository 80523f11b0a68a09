// What the Rust worker is compared with: the same answers to GET /health and GET /api/integrations, in JavaScript as one
// would write it for speed. It checks the token as strictly, asks upstream for the same, bounds it in the same way, and
// passes the rows through as they came.

const TIMEOUT_MS = 8_000;
const LIMIT = 2 * 1024 * 1024;
const TOKEN_MAX = 8 * 1024;
const LEEWAY_S = 30;
const JWKS_MAX_AGE_MS = 600_000;
const JWKS_COOL_DOWN_MS = 30_000;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const ALGORITHMS = {
  HS256: { name: "HMAC", hash: "SHA-256" },
  ES256: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
};

const HEADERS = new Headers({
  "strict-transport-security": "max-age=63072000; includeSubDomains",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
  "x-frame-options": "DENY",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "content-type": "application/json",
});

export default {
  async fetch(request, env) {
    try {
      return await route(request, env);
    } catch (error) {
      if (!(error instanceof Refusal)) console.error(error.stack);
      return refusal(error.status ?? 500, error.code ?? "internal");
    }
  },
};

class Refusal extends Error {
  constructor(status, code) {
    super(code);
    Object.assign(this, { status, code });
  }
}

function route(request, env) {
  const url = new URL(request.url);
  const reads = request.method === "GET" || request.method === "HEAD";
  switch (url.pathname) {
    case "/health":
      if (!reads) throw new Refusal(405, "method_not_allowed");
      return new Response('{"status":"ok"}', { headers: HEADERS });
    case "/api/integrations":
      if (!reads) throw new Refusal(405, "method_not_allowed");
      return list(request, url, env);
    default:
      throw new Refusal(404, "not_found");
  }
}

function refusal(status, code) {
  return new Response(JSON.stringify({ error: { code } }), { status, headers: HEADERS });
}

async function list(request, url, env) {
  let organization;
  let offset = 0;
  for (const [name, value] of url.searchParams) {
    if (name === "organization_id" && organization === undefined && UUID.test(value)) organization = value.toLowerCase();
    else if (name === "offset" && /^\d{1,7}$/.test(value) && Number(value) <= 1_000_000) offset = Number(value);
    else throw new Refusal(400, "invalid_request");
  }
  const token = presented(request.headers);
  const user = await verify(token, env);
  const answer = await ask(
    `${env.SUPABASE_URL}/rest/v1/integrations?select=id,integration_type,name,status,created_at&organization_id=eq.${organization ?? user}` +
      `&order=created_at.desc,id&limit=1000&offset=${offset}`,
    { apikey: env.SUPABASE_ANON_KEY, accept: "application/json", authorization: `Bearer ${token}`, prefer: "count=exact" },
  );
  if (answer.status !== 200 && answer.status !== 206) throw new Refusal(502, "upstream_failed");
  const count = /\/(\d+)$/.exec(answer.headers.get("content-range") ?? "")?.[1];
  if (count === undefined) throw new Refusal(502, "upstream_failed");
  return new Response(`{"integrations":${answer.text},"count":${count}}`, { headers: HEADERS });
}

/** The bearer token, or the session's cookie if it stands once. */
function presented(headers) {
  const authorization = headers.get("authorization");
  if (authorization) {
    const [scheme, token] = authorization.split(" ", 2);
    if (scheme.toLowerCase() !== "bearer" || !token) throw new Refusal(401, "unauthorized");
    return token;
  }
  const values = (headers.get("cookie") ?? "")
    .split(";")
    .map((pair) => pair.trim().split("="))
    .filter(([name]) => name.toLowerCase() === "__host-session");
  if (values.length !== 1) throw new Refusal(values.length ? 400 : 401, "unauthorized");
  return values[0].slice(1).join("=");
}

/** The id of the user whose token this is. */
async function verify(token, env) {
  const parts = token.split(".");
  if (token.length > TOKEN_MAX || parts.length !== 3) throw new Refusal(401, "unauthorized");
  const [header, claims] = parts.slice(0, 2).map(decode);
  if (!Object.hasOwn(ALGORITHMS, header.alg) || header.crit !== undefined) throw new Refusal(401, "unauthorized");
  const key = header.alg === "HS256" ? await secretKey(env) : await publicKey(header.kid, env);
  const signature = bytes(parts[2]);
  const signed = new TextEncoder().encode(token.slice(0, token.lastIndexOf(".")));
  if (!(await crypto.subtle.verify(ALGORITHMS[header.alg], key, signature, signed))) throw new Refusal(401, "unauthorized");
  const now = Date.now() / 1000;
  const right =
    claims.iss === `${env.SUPABASE_URL}/auth/v1` &&
    [claims.aud].flat().includes("authenticated") &&
    claims.role === "authenticated" &&
    claims.is_anonymous !== true &&
    claims.exp + LEEWAY_S > now &&
    (claims.nbf ?? 0) <= now + LEEWAY_S &&
    (claims.iat ?? 0) <= now + LEEWAY_S &&
    UUID.test(claims.sub);
  if (!right) throw new Refusal(401, "unauthorized");
  return claims.sub;
}

function decode(part) {
  try {
    return JSON.parse(new TextDecoder().decode(bytes(part)));
  } catch {
    throw new Refusal(401, "unauthorized");
  }
}

function bytes(base64url) {
  const binary = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}

let secret;

async function secretKey(env) {
  secret ??= await crypto.subtle.importKey("raw", new TextEncoder().encode(env.SUPABASE_JWT_SECRET), ALGORITHMS.HS256, false, ["verify"]);
  return secret;
}

let publicKeys = new Map();
let fetchedAt = -Infinity;

async function publicKey(kid, env) {
  const age = Date.now() - fetchedAt;
  if (age > JWKS_MAX_AGE_MS || (!publicKeys.has(kid) && age > JWKS_COOL_DOWN_MS)) {
    const { text } = await ask(`${env.SUPABASE_URL}/auth/v1/.well-known/jwks.json`, { apikey: env.SUPABASE_ANON_KEY });
    const entries = JSON.parse(text).keys.map(async ({ kid, kty, crv, x, y }) => {
      return [kid, await crypto.subtle.importKey("jwk", { kty, crv, x, y }, ALGORITHMS.ES256, false, ["verify"])];
    });
    publicKeys = new Map(await Promise.all(entries));
    fetchedAt = Date.now();
  }
  const key = publicKeys.get(kid);
  if (!key) throw new Refusal(401, "unauthorized");
  return key;
}

/** A GET, bounded in time and size, whose redirects are not followed. */
async function ask(url, headers) {
  const response = await fetch(url, {
    headers: { "user-agent": "sealed-integrations", ...headers },
    redirect: "manual",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  return { status: response.status, headers: response.headers, text: await read(response) };
}

/** A body within the limit; of a compressed one the header tells only how long it was before it was unpacked. */
async function read(response) {
  const declared = response.headers.has("content-encoding") ? null : response.headers.get("content-length");
  if (declared !== null && Number(declared) <= LIMIT) return response.text();
  const decoder = new TextDecoder();
  let size = 0;
  let text = "";
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > LIMIT) throw new Refusal(502, "upstream_failed");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
