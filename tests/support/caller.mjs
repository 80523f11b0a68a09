// A caller of the worker that adds nothing of its own: no cookie, no Origin, no content type but what the test says.
import { Answer } from "./browser-session.mjs";

const FLOW_COOKIE = /^__Host-flow-/;

/** Sends one request; redirects are not followed. A body that is an object goes as JSON, declared as such. */
export async function call(worker, method, path, { headers = {}, body } = {}) {
  const url = new URL(path, worker.url);
  const isData = body !== null && typeof body === "object" && !(body instanceof ReadableStream);
  const response = await fetch(url, {
    method,
    redirect: "manual",
    headers: { ...(isData && { "content-type": "application/json" }), ...headers },
    body: isData ? JSON.stringify(body) : body,
    ...(body instanceof ReadableStream && { duplex: "half" }),
  });
  return new Answer(`${method} ${url.pathname.slice(0, 80)}`, response, await response.text());
}

/** The header of a client that carries its token itself. */
export function bearer(token) {
  return { authorization: `Bearer ${token}` };
}

/** The headers of the connect page's own script in a browser that holds these cookies. */
export function ofPage(worker, cookie) {
  return { cookie, origin: worker.url, "sec-fetch-site": "same-origin", "content-type": "application/json" };
}

/** The cookies that a jar holds for the worker, as a Cookie header. */
export function cookiesOf(visitor) {
  return visitor.jar.header(visitor.worker.url);
}

/** The names of the flows' cookies that a Cookie header holds. */
export function flowCookies(header) {
  return header.split("; ").map((pair) => pair.split("=")[0]).filter((name) => FLOW_COOKIE.test(name));
}
