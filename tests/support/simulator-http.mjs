// What the simulators of providers (provider-simulator.mjs, credential-simulator.mjs) have in common: the server, what they read of requests,
// insist on, and answer with.
import { createServer } from "node:http";

import { listen } from "../stack/listen.mjs";

const FORM = "application/x-www-form-urlencoded";
export const JSON_TYPE = "application/json";

/** A request that the provider would reject. */
export class InvalidRequest extends Error {}

/** A server that answers with what `respond(request)` returns, and notes in `errors` what that rejects. */
export class Simulator {
  /** The requests that were rejected, each with the reason. */
  errors = [];
  url;
  #server;

  async start() {
    this.#server = createServer((incoming, response) => this.#serve(incoming, response));
    this.url = await listen(this.#server);
    return this.url;
  }

  async stop() {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(incoming, response) {
    const { pathname, search, searchParams } = new URL(incoming.url, this.url);
    let body = "";
    for await (const chunk of incoming.setEncoding("utf8")) body += chunk;
    const request = { method: incoming.method, path: pathname, search, query: searchParams, headers: incoming.headers, body };
    let answer;
    try {
      answer = await this.respond(request);
    } catch (error) {
      this.errors.push(`${request.method} ${pathname}: ${error.message}`);
      answer = json(400, { error: "invalid_request" });
    }
    response.writeHead(answer.status, answer.headers).end(answer.body);
  }
}

/** Starts a simulator for each entry: `{ providers (by type), urls, stop() }`. */
export async function startSimulators(entries, create) {
  const providers = Object.fromEntries(entries.map((entry) => [entry.type, create(entry)]));
  const all = Object.values(providers);
  const urls = await Promise.all(all.map((provider) => provider.start()));
  return { providers, urls, stop: () => Promise.all(all.map((provider) => provider.stop())) };
}

/** The fields of a body in this encoding. */
export function fieldsOf({ headers, body }, encoding) {
  const isForm = encoding === "form";
  expect(headers["content-type"], isForm ? FORM : JSON_TYPE, "content type");
  return isForm ? Object.fromEntries(new URLSearchParams(body)) : JSON.parse(body);
}

export function bearerOf({ headers }) {
  const token = /^Bearer (\S+)$/.exec(headers.authorization ?? "")?.[1];
  if (!token) throw new InvalidRequest("no Bearer token");
  return token;
}

/** Compares without showing values: they may be secrets. */
export function expect(actual, expected, what) {
  const sorted = (value) => (value && typeof value === "object" && !Array.isArray(value) ? Object.entries(value).sort() : value);
  if (JSON.stringify(sorted(actual)) === JSON.stringify(sorted(expected))) return;
  const keys = (value) => (value && typeof value === "object" ? Object.keys(value).sort().join() : typeof value);
  throw new InvalidRequest(`unexpected ${what}: ${keys(actual)} in place of ${keys(expected)}`);
}

/** Sets what a JSON Pointer points to. */
export function put(target, pointer, value) {
  const names = pointer.split("/").slice(1);
  if (names.length === 0) return void Object.assign(target, value);
  const last = names.pop();
  for (const name of names) target = target[name] ??= {};
  target[last] = value;
}

export function nameIn(target, { account }, { id, name }) {
  put(target, account.id, id);
  put(target, account.name, name);
}

export function encoded(status, fields, encoding) {
  if (encoding === "json") return json(status, fields);
  return { status, headers: { "content-type": `${FORM}; charset=utf-8` }, body: new URLSearchParams(fields).toString() };
}

export function json(status, body) {
  return { status, headers: { "content-type": JSON_TYPE }, body: JSON.stringify(body) };
}

export function redirect(location) {
  return { status: 302, headers: { location } };
}
