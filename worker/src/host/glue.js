// The worker's only JavaScript but for entry.js. Every call between wasm and JavaScript costs about as much as the work behind
// it, so each function here does in one crossing what would take a dozen through bindings. No decision is made here: see the
// Rust side.

const SECURITY = [
  ["strict-transport-security", "max-age=63072000; includeSubDomains"],
  ["x-content-type-options", "nosniff"],
  ["referrer-policy", "no-referrer"],
  ["cache-control", "no-store"],
  ["x-frame-options", "DENY"],
  ["cross-origin-opener-policy", "same-origin"],
  ["cross-origin-resource-policy", "same-origin"],
  ["permissions-policy", "camera=(), geolocation=(), microphone=(), payment=()"],
];
const NOTHING = ["content-security-policy", "default-src 'none'; frame-ancestors 'none'"];
const PAGE = [
  "content-security-policy",
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; " +
    "base-uri 'none'; frame-ancestors 'none'",
];

// Indexed by the Rust side's `Media`.
const HEADERS = [
  [...SECURITY, NOTHING, ["content-type", "application/json"]],
  [...SECURITY, PAGE, ["content-type", "text/html; charset=utf-8"]],
  [...SECURITY, NOTHING, ["content-type", "text/css; charset=utf-8"]],
  [...SECURITY, NOTHING, ["content-type", "text/javascript; charset=utf-8"]],
  [...SECURITY, NOTHING],
].map((pairs) => new Headers(pairs));

/** The method and the URL, a line each: where `head` begins, without the cost of reading headers. */
export function target({ method, url }) {
  return `${method}\n${url}`;
}

/** The request line and the headers that matter, a line each. */
export function head(request) {
  const { method, url, headers } = request;
  const of = (name) => headers.get(name) ?? "";
  return `${method}\n${url}\n${of("authorization")}\n${of("cookie")}\n${of("origin")}\n${of("content-type")}\n${of("accept")}\n${of("sec-fetch-site")}\n${of("cf-connecting-ip")}`;
}

/** A response; `lines` holds further headers as name, value, name, value, each on a line. */
export function respond(status, media, lines, body) {
  if (lines === "") return new Response(body, { status, headers: HEADERS[media] });
  const headers = new Headers(HEADERS[media]);
  const parts = lines.split("\n");
  for (let i = 0; i + 1 < parts.length; i += 2) headers.append(parts[i], parts[i + 1]);
  return new Response(media === 4 ? null : body, { status, headers });
}

/**
 * The text of a request's body; undefined if it is larger than the limit. What is not much larger is taken all the same: a client that is
 * still sending when it is answered may lose the connection, and the answer with it (RFC 9112, 9.6).
 */
export function body(request, limit) {
  return text(request, limit, 4 * limit);
}

/** The text of a body; undefined if it is larger than the limit. It is read no further than to where it ends or has passed `leave`. */
async function text(message, limit, leave = limit) {
  // Of a compressed body the header tells how long it was before the runtime unpacked it: 10 kB may be 10 MB.
  const declared = message.headers.has("content-encoding") ? null : message.headers.get("content-length");
  if (declared !== null && Number(declared) <= limit) return message.text();
  if (declared !== null && Number(declared) > leave) {
    await message.body?.cancel();
    return undefined;
  }
  if (message.body === null) return "";
  const decoder = new TextDecoder();
  let size = 0;
  let collected = "";
  // Leaving the loop cancels the stream.
  for await (const chunk of message.body) {
    size += chunk.byteLength;
    if (size > leave) return undefined;
    if (size <= limit) collected += decoder.decode(chunk, { stream: true });
  }
  return size > limit ? undefined : collected + decoder.decode();
}

/**
 * A request to somebody else, bounded in time and size. Redirects are answers like any other: what the request carries must
 * not follow them. Never throws. `head` is the status and the headers that matter, a line each, of an error more of
 * them; or, where there is no answer, the word why.
 */
export async function send(method, url, lines, body, timeout, limit) {
  const headers = { "user-agent": "sealed-integrations" };
  const parts = lines.split("\n");
  for (let i = 0; i + 1 < parts.length; i += 2) headers[parts[i]] = parts[i + 1];
  try {
    const response = await fetch(url, { method, headers, body, redirect: "manual", signal: AbortSignal.timeout(timeout) });
    const content = limit === 0 ? unread(response) : await text(response, limit);
    if (content === undefined) return { head: "large" };
    const of = (name) => response.headers.get(name) ?? "";
    const head = `${response.status}\n${of("content-type")}\n${of("content-range")}`;
    if (response.status < 400) return { head, text: content };
    const rates = ["remaining", "reset"].map((name) => of(`x-ratelimit-${name}`) || of(`ratelimit-${name}`));
    return { head: `${head}\n${of("retry-after")}\n${rates.join("\n")}`, text: content };
  } catch (error) {
    return { head: error?.name === "TimeoutError" ? "timeout" : "network" };
  }
}

/** In place of a body that nobody wants. */
function unread({ body }) {
  body?.cancel().catch(() => {});
  return "";
}

/** The rows of an answer as they came, without a way through wasm. */
export function relay(answer, count) {
  return new Response(`{"integrations":${answer.text},"count":${count}}`, { headers: HEADERS[0] });
}

// Indexed by the Rust side's `Algorithm`.
const ALGORITHMS = [
  { name: "HMAC", hash: "SHA-256" },
  { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
];

/** A key that verifies: from the bytes of a secret, or from a JWK. */
export function importKey(algorithm, secret, jwk) {
  return secret === undefined
    ? crypto.subtle.importKey("jwk", publicPart(JSON.parse(jwk)), ALGORITHMS[algorithm], false, ["verify"])
    : crypto.subtle.importKey("raw", new TextEncoder().encode(secret), ALGORITHMS[algorithm], false, ["verify"]);
}

function publicPart({ kty, crv, x, y, n, e }) {
  return kty === "EC" ? { kty, crv, x, y } : { kty, n, e };
}

const encoder = new TextEncoder();

/** Whether the token's signature (RFC 7515, 5.2) is by this key. Throws or rejects where it cannot be one. */
export function verify(algorithm, key, token) {
  const dot = token.lastIndexOf(".");
  const binary = atob(token.slice(dot + 1).replaceAll("-", "+").replaceAll("_", "/"));
  const signature = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) signature[i] = binary.charCodeAt(i);
  return crypto.subtle.verify(ALGORITHMS[algorithm], key, signature, encoder.encode(token.slice(0, dot)));
}

/** The bodies of a queue's messages that are text. */
export function bodiesOf(batch) {
  return batch.messages.map(({ body }) => body).filter((body) => typeof body === "string");
}

/** Puts so many messages with this body on a queue. */
export async function enqueue(queue, body, count) {
  return queue.sendBatch(Array.from({ length: count }, () => ({ body, contentType: "text" })));
}

/** Milliseconds' pause. */
export function pause(milliseconds) {
  return new Promise((done) => setTimeout(done, milliseconds));
}
