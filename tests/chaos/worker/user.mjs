// A user who connects, uses and ends connections, one act after the other. What the worker answers is noted, and believed in one point
// only: `revoked`, which is looked at in the end.
import { setTimeout as delay } from "node:timers/promises";

import { authorize } from "../../support/authorization.mjs";
import { BrowserSession } from "../../support/browser-session.mjs";
import { codeOf, withdraw } from "../../support/grants.mjs";
import { expireBackoff } from "../../support/refresh.mjs";
import { bounded } from "../bounded.mjs";

const MOST_CONNECTIONS = 3;
const PATIENCE_MS = 120_000;
/** Beyond these an answer to somebody to whom nothing happened is a failure. A limit is none. */
const FINE = new Set([200, 201, 204, 303, 429]);

export class User {
  #serial = 0;
  #stopping = false;
  /** The connections that the user knows of: `[{ id, type, login }]`. */
  connections = [];
  /** Answers to DELETE: `[{ id, revoked, at }]`. */
  ends = [];
  /** The rows that it asked to be deleted, whatever was answered. */
  tried = new Set();

  constructor(name, { fixture, random, isVictim }) {
    Object.assign(this, { name, fixture, random, isVictim });
  }

  async begin() {
    const { deployment, info } = this.fixture;
    this.browser = await BrowserSession.signedIn({ url: deployment.url, info });
    this.id = this.browser.user.id;
  }

  /** Has what happens to its connections delivered to this URL. */
  async subscribe(url) {
    (await this.browser.post("/api/webhooks", { url })).expect(201);
  }

  run() {
    this.running = this.#run();
  }

  async stop() {
    this.#stopping = true;
    await this.running;
  }

  /** Ends all connections but one. */
  async endSome() {
    while (this.connections.length > 1) {
      const before = this.connections.length;
      await this.#judged("disconnect");
      if (this.connections.length === before) return;
    }
  }

  async #run() {
    while (!this.#stopping) {
      await delay(this.random.between(100, 900));
      const act = this.#choose();
      await this.#judged(act);
    }
  }

  #choose() {
    if (this.connections.length === 0) return "connect";
    if (this.connections.length < MOST_CONNECTIONS && this.random.next() < 0.15) return "connect";
    const acts = ["refresh", "refresh", "refresh", "check", "check", "list", "reconnect", "disconnect"];
    if (this.isVictim) acts.push("withdraw", "leave", "choose");
    return this.random.pick(acts);
  }

  /** Does it, and judges whether it may have failed. */
  async #judged(act) {
    const { report, outages } = this.fixture;
    const from = Date.now();
    let timer;
    const late = new Promise((resolve) => (timer = setTimeout(resolve, PATIENCE_MS, { status: "none within two minutes" })));
    let answer;
    try {
      answer = (await Promise.race([this[act](this.random.pick(this.connections)), late])) ?? { status: 200 };
    } catch (error) {
      answer = { status: `${error.message} ${error.cause?.code ?? ""}`.trim().slice(0, 300) };
    } finally {
      clearTimeout(timer);
    }
    report.count("requests");
    if (FINE.has(answer.status)) return;
    report.count(`requests that failed, ${this.name.split("-")[0]}`);
    this.fixture.note({ user: this.name, act, from, until: Date.now(), status: answer.status, text: answer.text?.slice(0, 300), request: answer.headers?.get("x-request-id") });
    if (this.isVictim) return;
    if (outages.overlaps(from, Date.now())) {
      // What it left behind may fail later requests too: begin anew.
      await this.#abandonAll();
      return;
    }
    this.fixture.failures.push({
      from,
      until: Date.now(),
      what: `${act} by ${this.name}, to whom nothing happened, succeeds`,
      came: `${answer.status} ${answer.text?.slice(0, 200) ?? ""} after ${Date.now() - from} ms (request ${answer.headers?.get("x-request-id")})`,
    });
    await this.#abandonAll();
  }

  async #abandonAll() {
    for (const connection of this.connections.splice(0)) {
      this.connections.push(connection);
      await this.disconnect(connection).catch(() => {});
    }
    this.connections = [];
  }

  async #callback(url, type, login) {
    const callback = await authorize(url, { login });
    this.fixture.ledger.noteCode(codeOf(callback), this);
    return this.browser.get(callback);
  }

  async connect() {
    const type = this.random.pick(["gitlab", "supabase"]);
    const login = `${this.name}-${this.#serial++}`;
    const begun = await this.browser.post("/api/auth/authorize", { integration_type: type });
    if (begun.status !== 200) return begun;
    const answer = await this.#callback(begun.json.authorization_url, type, login);
    const id = answer.location && new URL(answer.location, this.fixture.deployment.url).searchParams.get("connected");
    if (id) this.connections.push({ id, type, login });
    return answer;
  }

  /** Connects an account with two projects, and chooses one. */
  async choose(_, { leave = false } = {}) {
    const begun = await this.browser.post("/api/auth/authorize", { integration_type: "supabase" });
    if (begun.status !== 200) return begun;
    const login = `two-${this.name}-${this.#serial++}`;
    const answer = await this.#callback(begun.json.authorization_url, "supabase", login);
    const pending = answer.location && new URL(answer.location, this.fixture.deployment.url).searchParams.get("choose");
    if (!pending || leave) return answer;
    const accounts = await this.browser.get(`/api/connections/${pending}`);
    if (accounts.status !== 200) return accounts;
    if (this.random.next() < 0.2) return this.browser.delete(`/api/connections/${pending}`);
    return this.browser.post(`/api/connections/${pending}`, { account_id: this.random.pick(accounts.json.accounts).id });
  }

  /** The same, and never comes back for the choice. */
  leave() {
    return this.choose(undefined, { leave: true });
  }

  async refresh({ id }) {
    await bounded(expireBackoff(this.fixture, id));
    const answer = await this.browser.post(`/api/integrations/${id}/refresh`, {});
    await this.#reconnectIfOver(answer, id);
    return answer;
  }

  async check({ id }) {
    return this.browser.post(`/api/integrations/${id}/check`, {});
  }

  list() {
    return this.browser.get("/api/integrations");
  }

  async reconnect({ id, type, login }) {
    const begun = await this.browser.post(`/api/integrations/${id}/reconnect`, {});
    if (begun.status !== 200) return begun;
    return this.#callback(begun.json.authorization_url, type, login);
  }

  async disconnect(connection) {
    const { id } = connection;
    this.tried.add(id);
    const answer = await this.browser.delete(`/api/integrations/${id}`);
    if (answer.status === 200) {
      this.ends.push({ id, revoked: answer.json.revoked, at: Date.now() });
      this.connections = this.connections.filter((other) => other !== connection);
    }
    return answer;
  }

  /** Takes a grant back at the provider. */
  async withdraw({ id, type }) {
    const [tokens] = await this.fixture.stored(id);
    const grant = tokens && this.fixture.ledger.byToken(tokens.refresh_token);
    if (!grant) return;
    grant.withdrawn = true;
    const { info, deployment } = this.fixture;
    await withdraw({ ...info, ...deployment.clients[type] }, grant.newest ? { refresh_token: grant.newest.refresh } : tokens);
  }

  /** As a customer does: what needs to be reconnected is, now and then. */
  async #reconnectIfOver(answer, id) {
    if (answer.status === 200 || this.random.next() < 0.5) return;
    const connection = this.connections.find((other) => other.id === id);
    if (connection) await this.reconnect(connection).catch(() => {});
  }
}
