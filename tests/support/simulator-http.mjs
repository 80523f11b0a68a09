// What a simulated provider (provider-simulator.mjs) reads of requests, insists on, and answers with.

const FORM = "application/x-www-form-urlencoded";
export const JSON_TYPE = "application/json";

/** A request that the provider would not take. */
export class InvalidRequest extends Error {}

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
