// A browser at the worker, without a browser: its cookies, its session, and the steps of a connection one by one.
import { AssertionError } from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { fromElsewhere } from "./addresses.mjs";
import { authorize, decline } from "./authorization.mjs";
import { CookieJar } from "./cookies.mjs";
import { assertDescribed } from "./openapi.mjs";
import { signES256, userClaims } from "./tokens.mjs";
import { signUp } from "./users.mjs";

/** How much of an unexpected answer is shown. */
const SHOWN = 1000;

export class BrowserSession {
  /** `jar` is the browser's; two visitors with clones of one jar are two tabs. */
  constructor(worker, jar = new CookieJar()) {
    this.worker = worker;
    this.jar = jar;
    this.address = fromElsewhere();
  }

  /** A new user of the project, signed in at this worker. */
  static async signedUp(worker) {
    const visitor = new BrowserSession(worker);
    await visitor.signIn(await signUp(worker.info));
    return visitor;
  }

  /**
   * The same, for tests that need many users: the token is as Supabase Auth's, but signed here. Signing up would cost Auth,
   * which all tests share, a password's hash.
   */
  static async signedIn(worker) {
    const visitor = new BrowserSession(worker);
    const id = randomUUID();
    await visitor.signIn({ id, access_token: await signES256(worker.info, userClaims(worker.info, { id })) });
    return visitor;
  }

  /** Makes a session of a user's tokens. */
  async signIn(user) {
    const { access_token, refresh_token } = user;
    (await this.post("/api/session", { access_token, refresh_token })).expect(200);
    this.user = user;
  }

  get(path, headers) {
    return this.#send("GET", path, { headers });
  }

  post(path, body) {
    return this.#send("POST", path, { headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  }

  put(path, body) {
    return this.#send("PUT", path, { headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  }

  patch(path, body) {
    return this.#send("PATCH", path, { headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  }

  delete(path) {
    return this.#send("DELETE", path);
  }

  /** Begins a connection: the authorization URL. */
  async begin(options = {}) {
    const answer = await this.post("/api/auth/authorize", { integration_type: "supabase", ...options });
    return answer.expect(200).json.authorization_url;
  }

  /**
   * Begins a connection and consents as `login`: the callback URL, which is still to be opened. Nobody is signed in at the
   * authorization server before.
   */
  async consent(login, options) {
    return authorize(await this.begin(options), { login });
  }

  /** Begins a connection and declines: the callback URL. */
  async decline(login, options) {
    return decline(await this.begin(options), { login });
  }

  /** The whole connection. Returns the integration's id. */
  async connect(login, options) {
    const { location } = (await this.get(await this.consent(login, options))).expect(303);
    return new URL(location, this.worker.url).searchParams.get("connected");
  }

  /** Begins the reconnection of an integration and consents as `login`: the callback URL, which is still to be opened. */
  async reconsent(id, login, options = {}) {
    const answer = await this.post(`/api/integrations/${id}/reconnect`, options);
    return authorize(answer.expect(200).json.authorization_url, { login });
  }

  async #send(method, path, { headers, body } = {}) {
    const url = new URL(path, this.worker.url);
    // As a browser does for requests of the page's own script.
    const origin = method === "GET" ? {} : { origin: this.worker.url };
    const response = await this.jar.fetch(url, { method, headers: { ...this.address, ...origin, ...headers }, body });
    return new Answer(`${method} ${url.pathname}`, response, await response.text());
  }
}

/** What the worker answered. */
export class Answer {
  #request;

  constructor(request, response, text) {
    this.#request = request;
    this.status = response.status;
    this.headers = response.headers;
    this.text = text;
    const [method] = request.split(" ");
    const { pathname: path } = new URL(response.url);
    assertDescribed({ method, path, status: response.status, type: response.headers.get("content-type"), text });
  }

  get json() {
    return JSON.parse(this.text);
  }

  get location() {
    return this.headers.get("location");
  }

  /** Everything that the caller gets to see, to look for what must not be in it. */
  get all() {
    return `${[...this.headers].join("\n")}\n${this.text}`;
  }

  /** Fails unless it has this status and, where one is given, this error code. */
  expect(status, code) {
    const expected = code ? `${status} ${code}` : `${status}`;
    const actual = code ? `${this.status} ${this.#code()}` : `${this.status}`;
    if (actual === expected) return this;
    const message = `${this.#request}: expected ${expected}, got ${actual}\n${this.all.slice(0, SHOWN)}`;
    throw new AssertionError({ message, actual, expected, operator: "strictEqual", stackStartFn: this.expect });
  }

  #code() {
    try {
      return this.json.error.code;
    } catch {
      return "(no error code)";
    }
  }
}
