// A simulator of an entry of the catalogue, in front of the stack's authorization server: it has the provider's paths, accepts only what the
// entry says the provider accepts, and answers as the entry says. It knows no provider: all is derived from the entry, so a new entry is
// tested without new code.
import { createHash, randomBytes } from "node:crypto";

import { projectsOf } from "../stack/projects.mjs";
import { registerClient } from "./clients.mjs";
import { takesAccessToken } from "./grants.mjs";
import {
  bearerOf, encoded, expect, fieldsOf, InvalidRequest, json, JSON_TYPE, nameIn, put, redirect, Simulator, startSimulators,
} from "./simulator-http.mjs";

const SEPARATORS = { space: " ", comma: "," };
/** Where the authorization server sends the browser back to; no walk takes it for the worker's callback. */
const RETURNED = "/returned";
const SLUG = "simulated-app";

/** The answer that an entry's `invalid_grant` describes. */
function refusalOf({ status = 400, at = "/error", code, description, text }) {
  if (text) return { status, headers: { "content-type": "text/plain" }, body: text };
  const body = description ? { error_description: `The provider says: ${description.toUpperCase()}.` } : {};
  put(body, at, code);
  return json(status, body);
}

/** The account that a login has at a simulated provider. */
export function accountOf(login) {
  const [{ ref: id, name }] = projectsOf(login);
  return { id, name };
}

/** Starts a simulator for each entry: `{ providers (by type), settings (the worker's), stop() }`. */
export async function simulateProviders(entries, info) {
  const { providers, urls, stop } = await startSimulators(entries, (entry) => new ProviderSimulator(entry, info));
  const client = await registerClient(info, urls.map((url) => url + RETURNED));
  for (const provider of Object.values(providers)) provider.client = client;
  return { providers, settings: Object.assign({}, ...Object.values(providers).map((provider) => provider.settings())), stop };
}

class ProviderSimulator extends Simulator {
  /** The tokens that were given out, the oldest first. */
  given = [];
  /** Whether the token endpoint answers each code with a failure, and status 200. */
  failing = false;
  /** The `scope` of the next token responses, if they have one. */
  granting;
  /** In which of the entry's words the token endpoint says of each refresh token that its grant is over, if it does. */
  refusing;

  #entry;
  #info;
  #secret = `${randomBytes(16).toString("hex")}:+/%&`;
  #flows = new Map();
  /** The real refresh token behind one that goes on being good. */
  #behind = new Map();
  #verifier = randomBytes(32).toString("base64url");
  #routes;

  constructor(entry, info) {
    super();
    this.#entry = entry;
    this.#info = info;
    this.id = `client-of-${entry.type}`;
    const path = (url) => new URL(url.replace("{slug}", SLUG).replace("{client_id}", this.id)).pathname;
    this.#routes = {
      [RETURNED]: (request) => this.#return(request),
      [path(entry.authorize_url)]: (request) => this.#authorize(request),
      [path(entry.token_url)]: (request) => this.#token(request),
      [path(entry.identity.url)]: (request) => this.#identity(request),
      ...(entry.revocation && { [path(entry.revocation.url)]: (request) => this.#revoke(request) }),
    };
  }

  settings() {
    const { type, ...urls } = this.#entry;
    const name = (suffix) => `${type.toUpperCase()}_${suffix}`;
    return {
      [name("CLIENT_ID")]: this.id,
      [name("CLIENT_SECRET")]: this.#secret,
      [name("BASE_URL")]: this.url,
      [name("ISSUER")]: undefined,
      ...(JSON.stringify(urls).includes("{slug}") && { [name("SLUG")]: SLUG }),
    };
  }

  respond(request) {
    const route = this.#routes[request.path] ?? this.#accountRoute(request.path);
    if (!route) throw new InvalidRequest("no such path");
    return route(request);
  }

  /** One account by its id, where the entry has a request for that. */
  #accountRoute(pathname) {
    const { account_url } = this.#entry.identity;
    if (!account_url) return undefined;
    const [before, after] = new URL(account_url).pathname.split(encodeURI("{account_id}"));
    if (!pathname.startsWith(before) || !pathname.endsWith(after)) return undefined;
    const id = decodeURIComponent(pathname.slice(before.length, pathname.length - after.length));
    return (request) => this.#identity(request, id);
  }

  /** The browser comes: on to the real server, with a challenge of our own where the provider takes none. */
  #authorize({ method, query }) {
    const { scopes, scope_parameter, scope_separator, authorize_parameters, pkce } = this.#entry;
    expect(method, "GET", "method");
    const { redirect_uri, state, code_challenge, ...rest } = Object.fromEntries(query);
    expect(rest, {
      response_type: "code",
      client_id: this.id,
      ...(scopes.length && { [scope_parameter]: scopes.join(SEPARATORS[scope_separator]) }),
      ...(pkce === "s256" && { code_challenge_method: "S256" }),
      ...authorize_parameters,
    }, "parameters");
    expect(code_challenge === undefined, pkce === "none", "absence of a challenge");
    this.#flows.set(state, redirect_uri);
    const parameters = new URLSearchParams({
      response_type: "code",
      client_id: this.client.client_id,
      redirect_uri: this.url + RETURNED,
      state,
      code_challenge: code_challenge ?? createHash("sha256").update(this.#verifier).digest("base64url"),
      code_challenge_method: "S256",
    });
    return redirect(`${this.#info.authorization_server_url}/v1/oauth/authorize?${parameters}`);
  }

  #return({ query }) {
    const { iss: _, ...parameters } = Object.fromEntries(query);
    this.redirectUri = this.#flows.get(parameters.state);
    return redirect(`${this.redirectUri}?${new URLSearchParams(parameters)}`);
  }

  async #token(request) {
    const { pkce, token_response_path, success_flag, token_response_format } = this.#entry;
    const { grant_type, code, redirect_uri, code_verifier, refresh_token, ...rest } = this.#authenticated(request);
    expect(rest, {}, "further fields");
    if (grant_type === "refresh_token") {
      expect([code, redirect_uri, code_verifier], [undefined, undefined, undefined], "fields of an exchange");
      if (this.refusing) return refusalOf(this.refusing);
      const tokens = await this.#real({ grant_type, refresh_token: this.#behind.get(refresh_token) ?? refresh_token });
      return this.#answer(this.#shown(tokens, refresh_token));
    }
    expect([grant_type, refresh_token, redirect_uri], ["authorization_code", undefined, this.redirectUri], "grant");
    expect(code_verifier === undefined, pkce === "none", "absence of a verifier");
    const redirected = this.url + RETURNED;
    const real = await this.#real({ grant_type, code, redirect_uri: redirected, code_verifier: code_verifier ?? this.#verifier });
    const tokens = this.#shown(real);
    if (!this.failing) return this.#answer(tokens, await this.#account(tokens.access_token));
    const failure = { error: "invalid_grant", error_description: "planted" };
    if (!success_flag) return encoded(200, failure, token_response_format);
    // All that a success has, so that nothing but the flag is in the way of a row.
    const answer = { ...failure };
    put(answer, token_response_path, tokens);
    put(answer, success_flag, false);
    return encoded(200, answer, token_response_format);
  }

  /** What the provider would show of the tokens. `old` is the refresh token that they were given for. */
  #shown({ access_token, refresh_token, expires_in }, old) {
    const { refresh, default_expires_in, token_type } = this.#entry;
    const tokens = { access_token, token_type, ...(this.granting !== undefined && { scope: this.granting }) };
    if (refresh !== "none" && default_expires_in === undefined) tokens.expires_in = expires_in;
    if (refresh === "rotating" || (refresh === "reusable" && old === undefined)) tokens.refresh_token = refresh_token;
    if (refresh === "reusable") this.#behind.set(old ?? refresh_token, refresh_token);
    this.given.push(tokens);
    return tokens;
  }

  #answer(tokens, account) {
    const { token_response_path, token_response_metadata, identity, success_flag, token_response_format } = this.#entry;
    const answer = token_response_path ? {} : { ...tokens };
    if (token_response_path) put(answer, token_response_path, tokens);
    for (const name of token_response_metadata) answer[name] = `of ${name}`;
    if (identity.from === "token_response" && account) nameIn(answer, identity, account);
    if (success_flag) put(answer, success_flag, true);
    return encoded(200, answer, token_response_format);
  }

  async #identity(request, id) {
    const { identity, success_flag } = this.#entry;
    let token;
    if (identity.style === "introspection") {
      const { token: presented, ...rest } = this.#authenticated(request);
      expect(rest, { token_type_hint: "access_token" }, "further fields");
      token = presented;
    } else {
      this.#headers(request, identity.headers);
      expect(request.method, identity.style === "get" ? "GET" : "POST", "method");
      if (identity.style === "graphql") expect(fieldsOf(request, "json"), { query: identity.query }, "body");
      else expect(request.body, "", "body");
      token = bearerOf(request);
    }
    const account = {};
    if (!(await takesAccessToken(this.#info, token))) {
      // RFC 7662, 2.2, and RFC 6750, 3.1.
      return identity.style === "introspection" ? json(200, { active: false }) : json(401, { error: "invalid_token" });
    }
    const known = await this.#account(token);
    if (id !== undefined) expect(id, known.id, "the account that is asked for");
    nameIn(account, identity, known);
    if (success_flag) put(account, success_flag, true);
    return json(200, identity.list && id === undefined ? [account] : account);
  }

  async #revoke(request) {
    const { style } = this.#entry.revocation;
    const { access_token, refresh_token } = this.given.at(-1);
    const newest = refresh_token ?? this.given.findLast((tokens) => tokens.refresh_token)?.refresh_token;
    if (style !== "rfc7009" && style !== "access_token") this.#headers(request);
    expect(request.method, style === "github_token" ? "DELETE" : "POST", "method");
    const bearer = style.startsWith("bearer") ? bearerOf(request) : undefined;
    let revoked = access_token;
    if (style === "rfc7009") {
      revoked = newest ?? access_token;
      const hint = newest ? "refresh_token" : "access_token";
      expect(this.#authenticated(request), { token: revoked, token_type_hint: hint }, "fields");
    } else if (style === "token_only") {
      revoked = newest ?? access_token;
      expect([fieldsOf(request, "form"), request.headers.authorization], [{ token: revoked }, undefined], "fields");
    } else if (style === "access_token") {
      expect(this.#authenticated(request), { token: access_token }, "fields");
    } else if (style === "supabase_json") {
      revoked = newest;
      expect(fieldsOf(request, "json"), { client_id: this.id, client_secret: this.#secret, refresh_token: newest }, "fields");
    } else if (style === "github_token") {
      this.#basic(request);
      expect(fieldsOf(request, "json"), { access_token }, "fields");
    } else {
      expect(bearer, access_token, "token");
      if (style === "bearer") expect(request.body, "", "body");
      else expect(fieldsOf(request, "form"), { token: access_token }, "fields");
    }
    await this.#ask("/revocation", { token: this.#behind.get(revoked) ?? revoked });
    const { success_flag } = this.#entry;
    if (!success_flag) return { status: style === "github_token" || style === "supabase_json" ? 204 : 200, headers: {} };
    const answer = {};
    put(answer, success_flag, true);
    return json(200, answer);
  }

  /** The fields of a request with client authentication as the entry has it, without that. */
  #authenticated(request) {
    const { client_auth, token_request_format } = this.#entry;
    expect(request.method, "POST", "method");
    this.#headers(request);
    const { client_id, client_secret, ...fields } = fieldsOf(request, token_request_format);
    const isBasic = client_auth.startsWith("client_secret_basic");
    if (isBasic) this.#basic(request);
    else expect(request.headers.authorization, undefined, "authorization");
    const own = isBasic ? [undefined, undefined] : [this.id, this.#secret];
    expect([client_id, client_secret], own, "client");
    return fields;
  }

  /** RFC 6749, 2.3.1; or without its encoding, where the entry says so. */
  #basic({ headers: { authorization = "" } }) {
    const decoded = Buffer.from(authorization.replace(/^Basic /, ""), "base64").toString();
    if (this.#entry.client_auth === "client_secret_basic_raw") return expect(decoded, `${this.id}:${this.#secret}`, "client");
    const halves = decoded.split(":").map((half) => decodeURIComponent(half.replaceAll("+", " ")));
    expect(halves, [this.id, this.#secret], "client");
  }

  #headers({ headers }, further = {}) {
    const wanted = { accept: JSON_TYPE, ...this.#entry.headers, ...further };
    expect(Object.fromEntries(Object.keys(wanted).map((name) => [name, headers[name]])), wanted, "headers");
  }

  async #account(token) {
    const answer = await fetch(`${this.#info.authorization_server_url}/v1/projects`, { headers: { authorization: `Bearer ${token}` } });
    expect(answer.status, 200, "status for the token");
    const [{ ref: id, name }] = await answer.json();
    return { id, name };
  }

  async #real(fields) {
    return (await this.#ask("/v1/oauth/token", fields)).json();
  }

  /** Asks the real server as its own client. */
  async #ask(path, fields) {
    const { client_id, client_secret } = this.client;
    const answer = await fetch(this.#info.authorization_server_url + path, {
      method: "POST",
      headers: { authorization: `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString("base64")}` },
      body: new URLSearchParams(fields),
    });
    expect(answer.ok, true, `success at ${path}`);
    return answer;
  }

  /** Whether the real server takes the newest access token. */
  isAlive() {
    return takesAccessToken(this.#info, this.given.at(-1).access_token);
  }
}
