// What a proxy (proxy.mjs) can do to a request instead of passing it on.
//
// A behaviour is a function of `{ request, response, pass, delay }`: `pass()` sends the request on after all.
import { pipeline } from "node:stream/promises";

const CHUNK = Buffer.alloc(64 * 1024, " ");

/** Answers without asking the target. A body that is no string is sent as JSON. */
export function answer(status, body = "", headers = {}) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const type = typeof body === "string" ? "text/plain; charset=utf-8" : "application/json";
  return ({ response }) => {
    response.writeHead(status, { "content-type": type, ...headers });
    response.end(text);
  };
}

/** Takes the request and never answers; the connection stays open until the client gives up. */
export function never() {
  return () => {};
}

/** Passes it on, but only after a while. */
export function late(ms) {
  return async ({ pass, delay }) => {
    await delay(ms);
    await pass();
  };
}

/** Passes it on after `release()` was called, and tells by `arrived` that a request is waiting. */
export function held() {
  const released = Promise.withResolvers();
  const arrived = Promise.withResolvers();
  const behaviour = async ({ request, pass }) => {
    arrived.resolve(request);
    await released.promise;
    await pass();
  };
  return { behaviour, arrived: arrived.promise, release: released.resolve };
}

/** Lets the target do its work, and cuts the connection in the middle of the answer. */
export function cut() {
  return ({ pass }) => pass({ truncate: true });
}

/** Closes the connection without an answer, before the target hears of it. */
export function drop() {
  return ({ response }) => void response.destroy();
}

/** Answers with so many bytes of white space, by default 10 MB, which JSON allows before a value. */
export function flood(bytes = 10 * 1024 * 1024, headers = { "content-type": "application/json" }) {
  return ({ response }) => {
    response.writeHead(200, headers);
    return pipeline(chunks(bytes), response);
  };
}

/** Sends the client elsewhere, with its method and body. */
export function redirect(location, status = 307) {
  return answer(status, "", { location });
}

/** The behaviour for the first `count` requests; the others pass. */
export function first(count, behaviour) {
  let left = count;
  return (exchange) => (left-- > 0 ? behaviour(exchange) : exchange.pass());
}

function* chunks(bytes) {
  for (let sent = 0; sent < bytes; sent += CHUNK.length) yield CHUNK;
  yield "{}";
}
