// The worker's only JavaScript but for entry.js: the executor, and what the SDK has no safe form of.
//
// An exception that passes through wasm runs no destructor and leaves whatever was being polled broken. So no function here that Rust calls
// can throw: each is wrapped in `safe`, or in `promised`, which Rust awaits. What throws or traps all the same ends its own job and no other:
// see `run`.

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

// Indexed by the Rust side's `ContentType`.
const HEADERS = [
  [...SECURITY, NOTHING, ["content-type", "application/json"]],
  [...SECURITY, PAGE, ["content-type", "text/html; charset=utf-8"]],
  [...SECURITY, NOTHING],
  [...SECURITY, NOTHING, ["content-type", "text/csv; charset=utf-8"]],
  [...SECURITY, NOTHING, ["content-type", "application/x-ndjson"]],
].map((pairs) => new Headers(pairs));

/** The same function; where it throws, what `otherwise` says. */
function safe(call, otherwise) {
  return (...given) => {
    try {
      return call(...given);
    } catch {
      return otherwise(...given);
    }
  };
}

// ---------------------------------------------------------------------------------------------------------------- The executor
//
// A job is a future of Rust's with a number: a request, a run of the schedule, a message of the queue. Each is polled by itself, from a
// microtask, so no wasm frame is below it, and wasm is entered nowhere else. One that throws or traps is forgotten: its memory leaks, the
// shadow stack is put back to where it was, and everybody else goes on in the same instance.

let wasm;
let stackBase;
/** By number. */
const jobs = new Map();
/** The job that is being polled. */
let current;

/** Lends the executor the wasm's exports. */
export function connect(bindings, exports) {
  const move = exports.__wbindgen_add_to_stack_pointer;
  wasm = { poll: bindings.poll, recover: bindings.recover, restoreStack: () => move(stackBase - move(0)) };
  stackBase = move(0);
}

/** Begins a job and runs it to its end, also when the browser goes away. What does not need one answers at once. */
export function run(begin, env, ctx) {
  let job;
  try {
    job = begin();
  } catch (error) {
    wasm.restoreStack();
    return failure(error);
  }
  if (typeof job !== "number") return job;
  const done = drive(job, env, ctx);
  if (done instanceof Promise) ctx.waitUntil(done);
  return done;
}

/** A job's result; a promise of it, if the job waits for something. */
function drive(number, env, ctx) {
  const job = { number, isQueued: false, outcomes: new Map(), ready: [], held: new Map(), sent: 0, step };
  let result;
  let settle;
  function step() {
    job.isQueued = false;
    current = job;
    try {
      result = wasm.poll(number, job.ready.length > 0);
      if (result === undefined) return;
    } catch (error) {
      wasm.restoreStack();
      for (const [note, answer] of job.held) ctx.waitUntil(recover(note, answer, env, ctx));
      result = failure(error);
    } finally {
      current = undefined;
    }
    jobs.delete(number);
    settle?.(result);
  }
  jobs.set(number, job);
  step();
  return result === undefined ? new Promise((resolve) => void (settle = resolve)) : result;
}

/** Polls a job once more, soon. */
export const wake = safe((number) => enqueueStep(jobs.get(number)), () => {});

function enqueueStep(job) {
  if (job === undefined || job.isQueued) return;
  job.isQueued = true;
  // A microtask as queueMicrotask's, without the runtime's own work for each of these.
  RESOLVED.then(job.step);
}
const RESOLVED = Promise.resolve();

let tickets = 0;

/** A function that returns a promise, as Rust calls it: it answers a ticket, and its job is polled once there is an outcome. */
function promised(call) {
  const begin = safe(call, (...given) => Promise.reject(given));
  return (...given) => {
    const ticket = ++tickets;
    const job = current;
    const end = (outcome) => {
      if (jobs.get(job?.number) !== job) return;
      job.outcomes.set(ticket, outcome);
      job.ready.push(ticket);
      enqueueStep(job);
    };
    begin(...given).then((value) => end({ value }), () => end({}));
    return ticket;
  };
}

/** The tickets of the polled job that have an outcome now. */
export const ready = safe(() => current.ready.splice(0), () => []);

/** Of a ticket: 0 without an outcome, 1 fulfilled, 2 rejected. */
export const state = safe((ticket) => {
  const outcome = current.outcomes.get(ticket);
  return outcome === undefined ? 0 : "value" in outcome ? 1 : 2;
}, () => 2);

/** What a ticket was fulfilled with, once. */
export const take = safe((ticket) => {
  const { value } = current.outcomes.get(ticket);
  current.outcomes.delete(ticket);
  return value;
}, () => undefined);

/**
 * Goes on with the answer of a token endpoint whose job has ended: it may hold the only copy of somebody's tokens. A second time if the first
 * one ends like that as well.
 */
async function recover(note, answer, env, ctx, attempts = 2) {
  const held = await answer;
  let job;
  try {
    job = wasm.recover(env, note, held);
  } catch {
    wasm.restoreStack();
  }
  const result = job === undefined ? CRASHED : await drive(job, env, ctx);
  if (result === RECOVERED) return;
  if (attempts > 1) return recover(note, answer, env, ctx, attempts - 1);
  log({ detail: "the answer of a token endpoint is lost: a trap, twice" });
}
const RECOVERED = true;
const CRASHED = null;

/** Forgets a held answer: what it holds is stored, or revoked, or written down. */
export const settled = safe((note) => void current?.held.delete(note), () => {});

/** The generic answer to a request whose job has ended with an exception; for other jobs it is only logged. */
function failure(error) {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  log({ request_id: id, status: 500, code: "internal", detail: `the request ended with ${error?.name ?? "an exception"}` });
  const message = "internal error; give the request id to the operator";
  return respond(500, 0, `x-request-id\n${id}\n`, JSON.stringify({ error: { code: "internal", message } }));
}

function log(line) {
  console.error(JSON.stringify({ level: "error", ...line }));
}

// ---------------------------------------------------------------------------------------------------- Requests and responses

/** The request line and the headers that matter, a line each. */
export const head = safe((request) => {
  const { method, url, headers } = request;
  const of = (name) => headers.get(name) ?? "";
  return `${method}\n${url}\n${of("authorization")}\n${of("cookie")}\n${of("origin")}\n${of("content-type")}\n${of("accept")}\n${of("sec-fetch-site")}\n${of("cf-connecting-ip")}`;
}, () => "");

/** A response; `lines` holds further headers as name, value, name, value, each on a line. */
export const respond = safe((status, media, lines, body) => {
  if (lines === "") return new Response(media === 2 ? null : body, { status, headers: HEADERS[media] });
  const headers = new Headers(HEADERS[media]);
  const parts = lines.split("\n");
  for (let i = 0; i + 1 < parts.length; i += 2) headers.append(parts[i], parts[i + 1]);
  return new Response(media === 2 ? null : body, { status, headers });
}, () => new Response(null, { status: 500, headers: HEADERS[2] }));

/**
 * The text of a request's body; undefined if it is larger than the limit. What is not much larger is taken all the same: a client that is
 * still sending when it is answered may lose the connection, and the answer with it (RFC 9112, 9.6). Rejects what is not UTF-8.
 */
export const body = promised((request, limit) => text(request, limit, 4 * limit, new TextDecoder("utf-8", { fatal: true })));

const DECODER = new TextDecoder();

/**
 * The text of a body; undefined if it is larger than the limit. Whatever its headers say, it is read as a stream, no further than to
 * where it ends or has passed `leave`.
 */
async function text({ body }, limit, leave = limit, decoder = DECODER) {
  if (body === null) return "";
  // One buffer for the whole of it: a chunk of its own for each read stays in memory until the collector comes.
  const reader = body.getReader({ mode: "byob" });
  let buffer = new ArrayBuffer(8192);
  let size = 0;
  for (;;) {
    if (size === buffer.byteLength) buffer = buffer.transfer(2 * size);
    // Of what passes the limit nothing is kept, so it may overwrite what came before.
    const at = size > limit ? 0 : size;
    const wanted = Math.min(buffer.byteLength - at, 65_536);
    // Cloudflare's own: it brings fewer bytes only where the body ends, so most bodies take one read.
    const { value, done } = await reader.readAtLeast(wanted, new Uint8Array(buffer, at, wanted));
    buffer = value.buffer;
    size += value.byteLength;
    if (size > leave) {
      reader.cancel().catch(() => {});
      return undefined;
    }
    if (done || value.byteLength < wanted) return size > limit ? undefined : decoder.decode(new Uint8Array(buffer, 0, size));
  }
}

/**
 * A request to somebody else, bounded in time and size. Redirects are answers like any other: what the request carries must
 * not follow them. Never rejects. `head` is the status and the headers that matter, a line each, of an error more of
 * them; or, where there is no answer, the word why. With a note the answer is held until it is `settled`: see `recover`.
 */
export const send = promised((method, url, lines, body, timeout, limit, note) => {
  const answer = exchange(method, url, lines, body, timeout, limit);
  current.sent += 1;
  if (note !== undefined) current.held.set(note, answer);
  return answer;
});

/** How many requests the polled job has sent. */
export const sent = safe(() => current.sent, () => 0);

async function exchange(method, url, lines, body, timeout, limit) {
  try {
    const headers = { "user-agent": "sealed-integrations" };
    const parts = lines.split("\n");
    for (let i = 0; i + 1 < parts.length; i += 2) headers[parts[i]] = parts[i + 1];
    const response = await fetch(url, { method, headers, body, redirect: "manual", signal: AbortSignal.timeout(timeout) });
    const content = limit === 0 ? unread(response) : await text(response, limit);
    if (content === undefined) return { head: "large", text: "" };
    const of = (name) => response.headers.get(name) ?? "";
    const head = `${response.status}\n${of("content-type")}\n${of("content-range")}`;
    if (response.status < 400) return { head, text: content };
    const rates = ["remaining", "reset"].map((name) => of(`x-ratelimit-${name}`) || of(`ratelimit-${name}`));
    return { head: `${head}\n${of("retry-after")}\n${rates.join("\n")}`, text: content };
  } catch (error) {
    return { head: error?.name === "TimeoutError" ? "timeout" : "network", text: "" };
  }
}

/** In place of a body that nobody wants. */
function unread({ body }) {
  body?.cancel().catch(() => {});
  return "";
}

/** The rows of an answer as they came, without a way through wasm. */
export const relay = safe(
  (answer, count) => new Response(`{"integrations":${answer.text},"count":${count}}`, { headers: HEADERS[0] }),
  () => new Response(null, { status: 500, headers: HEADERS[2] }),
);

// ------------------------------------------------------------------------------------------------------------------ WebCrypto

// Indexed by the Rust side's `Algorithm`.
const ALGORITHMS = [
  { name: "HMAC", hash: "SHA-256" },
  { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
];

/** A key that verifies: from the bytes of a secret, or from a JWK. */
export const importKey = promised((algorithm, secret, jwk) =>
  secret === undefined
    ? crypto.subtle.importKey("jwk", publicPart(JSON.parse(jwk)), ALGORITHMS[algorithm], false, ["verify"])
    : crypto.subtle.importKey("raw", new TextEncoder().encode(secret), ALGORITHMS[algorithm], false, ["verify"]),
);

function publicPart({ kty, crv, x, y, n, e }) {
  return kty === "EC" ? { kty, crv, x, y } : { kty, n, e };
}

/** Whether a signature is by this key (RFC 7515, 5.2). */
export const verify = promised((algorithm, key, signature, signed) =>
  crypto.subtle.verify(ALGORITHMS[algorithm], key, signature, signed),
);

// ---------------------------------------------------------------------------------------------------------------- All the rest

/** The bodies of a queue's messages that are text. */
export const bodiesOf = safe((batch) => batch.messages.map(({ body }) => body).filter((body) => typeof body === "string"), () => []);

/** Puts so many messages with this body on a queue. */
export const enqueue = promised((queue, body, count) =>
  queue.sendBatch(Array.from({ length: count }, () => ({ body, contentType: "text" }))),
);

/** Milliseconds' pause. */
export const pause = promised((milliseconds) => new Promise((done) => setTimeout(done, milliseconds)));
