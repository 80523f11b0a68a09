// A simulator of an entry of the catalogue that is connected with credentials: it has the entry's paths, knows some accounts by their
// credentials, accepts them only as the entry says they are sent, and answers as the entry says. Behind the token endpoint of an entry with
// client_credentials is the stack's authorization server. All is derived from the entry, so a new one is tested without new code.
import { randomBytes } from "node:crypto";

import { registerMachine } from "./clients.mjs";
import { bearerOf, encoded, expect, fieldsOf, InvalidRequest, json, JSON_TYPE, Simulator, startSimulators } from "./simulator-http.mjs";

const SEPARATORS = { space: " ", comma: "," };

/** Starts a simulator for each entry: `{ providers (by type), settings (the worker's), stop() }`. */
export async function simulateCredentialProviders(entries, info) {
  const { providers, urls, stop } = await startSimulators(entries, (entry) => new CredentialSimulator(entry, info));
  const bases = entries.map(({ type }, i) => [`${type.toUpperCase()}_BASE_URL`, urls[i]]);
  return { providers, settings: { CREDENTIAL_TYPES: entries.map(({ type }) => type).join(","), ...Object.fromEntries(bases) }, stop };
}

class CredentialSimulator extends Simulator {
  /** The requests that came, `[{ method, path, headers, body }]`. */
  requests = [];
  /** The tokens that were given out, the oldest first. */
  given = [];
  /** A function of the request that answers in place of the provider, unless it returns nothing. */
  behaviour = undefined;
  /** How many seconds a token is said to live; by default what it does. */
  lifetime = undefined;

  #entry;
  #info;
  #accounts = [];

  constructor(entry, info) {
    super();
    this.#entry = entry;
    this.#info = info;
  }

  /**
   * Credentials of a new account, or further ones of an account that is there: `{ fields (what the user gives), id, name, machine }`,
   * `machine` the client where the provider has such.
   */
  async account(of) {
    const { type, auth, identity } = this.#entry;
    const machine = auth === "client_credentials" ? await registerMachine(this.#info) : undefined;
    const value = (field) => {
      if (machine && field.name in machine) return machine[field.name];
      if (of && !field.secret) return of.fields[field.name];
      return valueOf(field);
    };
    const fields = Object.fromEntries(this.#entry.fields.map((field) => [field.name, value(field)]));
    const named = (text, made) => (text.startsWith("/") ? made : fill(text, fields));
    const mark = randomBytes(6).toString("hex");
    const account = {
      fields,
      id: of?.id ?? named(identity.account.id, `${type}-${mark}`),
      name: of?.name ?? named(identity.account.name, `Account ${mark}`),
      machine,
    };
    this.#accounts.push(account);
    return account;
  }

  /** The provider takes these credentials no longer. */
  forget(account) {
    this.#accounts.splice(this.#accounts.indexOf(account), 1);
  }

  async respond({ search, ...request }) {
    const { method, path, headers, body } = request;
    this.requests.push({ method, path: path + search, headers, body });
    return (await this.behaviour?.(request)) ?? this.#answer(request, search);
  }

  #answer(request, search) {
    expect(search, "", "query");
    const { token_url, identity } = this.#entry;
    const takes = (url) => url && pattern(url).test(request.path);
    if (takes(token_url)) return this.#token(request);
    if (takes(identity.url)) return this.#identity(request);
    throw new InvalidRequest("no such path");
  }

  async #token(request) {
    const { client_auth, token_request_format, token_response_format, token_type, token_url, scopes, scope_parameter, scope_separator } = this.#entry;
    const { token_parameters, default_expires_in } = this.#entry;
    expect(request.method, "POST", "method");
    this.#headers(request);
    const { client_id, client_secret, ...rest } = fieldsOf(request, token_request_format);
    const [id, secret] = client_auth === "client_secret_basic" ? basicOf(request) : [client_id, client_secret];
    if (client_auth === "client_secret_post") expect(request.headers.authorization, undefined, "authorization");
    const account = this.#accounts.find(({ fields }) => fields.client_id === id);
    if (!account) return json(401, { error: "invalid_client" });
    const { fields } = account;
    expect(request.path, pathOf(token_url, fields), "path");
    expect(rest, {
      grant_type: "client_credentials",
      ...(scopes.length && { [scope_parameter]: scopes.join(SEPARATORS[scope_separator]) }),
      ...Object.fromEntries(Object.entries(token_parameters).map(([name, text]) => [name, fill(text, fields)])),
    }, "fields");
    const real = await fetch(`${this.#info.authorization_server_url}/v1/oauth/token`, {
      method: "POST",
      headers: { authorization: `Basic ${Buffer.from(`${id}:${encodeURIComponent(secret)}`).toString("base64")}` },
      body: new URLSearchParams({ grant_type: "client_credentials" }),
    });
    const answer = await real.json();
    if (!real.ok) return json(real.status, { ...answer, error_description: `planted ${secret}` });
    const { access_token, expires_in } = answer;
    this.given.push({ access_token, account });
    return encoded(200, { access_token, token_type, ...(!default_expires_in && { expires_in: this.lifetime ?? expires_in }) }, token_response_format);
  }

  async #identity(request) {
    const { identity, success_flag } = this.#entry;
    expect(request.method, identity.style === "get" ? "GET" : "POST", "method");
    this.#headers(request, identity.headers);
    const account = await this.#owner(request);
    // As some do, it says what it was sent.
    if (!account) return json(401, { error: "unauthorized", headers: request.headers, path: request.path });
    expect(request.path, pathOf(identity.url, account.fields), "path");
    const answer = success_flag ? put({}, success_flag, true) : {};
    for (const key of ["id", "name"]) if (identity.account[key].startsWith("/")) put(answer, identity.account[key], account[key]);
    return json(200, answer);
  }

  /** Whose the credential is that a request carries. */
  async #owner(request) {
    const { auth, basic, key_headers } = this.#entry;
    if (auth === "client_credentials") {
      const token = bearerOf(request);
      const { account } = this.given.find(({ access_token }) => access_token === token) ?? {};
      return account && (await this.#isActive(token, account)) ? account : undefined;
    }
    return this.#accounts.find(({ fields }) => {
      if (auth === "basic") return basicOf(request, false).join(":") === `${fill(basic.user, fields)}:${fill(basic.password, fields)}`;
      return Object.entries(key_headers).every(([name, text]) => request.headers[name] === fill(text, fields));
    });
  }

  async #isActive(token, { machine: { client_id, client_secret } }) {
    const answer = await fetch(`${this.#info.authorization_server_url}/introspection`, {
      method: "POST",
      headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString("base64")}` },
      body: new URLSearchParams({ token }),
    });
    return (await answer.json()).active === true;
  }

  #headers({ headers }, further = {}) {
    const wanted = { accept: JSON_TYPE, ...this.#entry.headers, ...further };
    expect(Object.fromEntries(Object.keys(wanted).map((name) => [name, headers[name]])), wanted, "headers");
  }
}

/** A value that a field of this format may have; what is secret can be told anywhere. */
export function valueOf({ format, name }) {
  const mark = randomBytes(8).toString("hex");
  if (format === "word") return `AC_${mark}`;
  if (format === "label") return `acme-${mark}`;
  if (format === "labels") return `acme-${mark}.eu`;
  return `planted-${name}-${mark}:+/&=%`;
}

function fill(text, fields) {
  return text.replace(/\{(\w+)\}/g, (_, name) => fields[name]);
}

/** The path of an entry's URL; what stands in its host is no part of it. */
function pathOf(url, fields) {
  return fill(`/${url.split("/").slice(3).join("/")}`, fields);
}

function pattern(url) {
  return new RegExp(`^${pathOf(url, {}).replaceAll("undefined", "[^/]+").replaceAll(".", "\\.")}$`);
}

function basicOf({ headers: { authorization = "" } }, isClient = true) {
  const decoded = Buffer.from(authorization.replace(/^Basic /, ""), "base64").toString();
  const [user, ...password] = decoded.split(":");
  const halves = [user, password.join(":")];
  return isClient ? halves.map((half) => decodeURIComponent(half.replaceAll("+", " "))) : halves;
}

/** Sets what a JSON Pointer points to; a number in it makes a list. */
function put(target, pointer, value) {
  const names = pointer.split("/").slice(1);
  const last = names.pop();
  let at = target;
  for (const [i, name] of names.entries()) at = at[name] ??= /^\d+$/.test(names[i + 1] ?? last) ? [] : {};
  at[last] = value;
  return target;
}
