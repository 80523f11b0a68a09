// Connect sessions as their two sides see them: a backend with a service key, and a browser without any session of this project.
import { createHash, randomBytes, randomUUID } from "node:crypto";

import { authorize } from "./authorization.mjs";
import { Answer, BrowserSession } from "./browser-session.mjs";

export const ORIGIN = "https://app.example";
export const RETURN_URL = `${ORIGIN}/connected?tab=1`;
const SCOPES = ["connect_sessions:write", "connections:credentials"];

const challengeOf = (verifier) => createHash("sha256").update(verifier).digest("base64url");

/** A program with a service key of an organization. */
export class Backend {
  constructor(worker, { key, organization, name }) {
    Object.assign(this, { worker, key, organization, name });
  }

  /** A key of the browser's user, made through the API. */
  static async of(browser, { scopes = SCOPES, organization = browser.user.id, ...over } = {}) {
    const name = `backend ${randomUUID()}`;
    const answer = await browser.post("/api/service-keys", { name, scopes, organization_id: organization, ...over });
    const { key, id } = answer.expect(201).json;
    return Object.assign(new Backend(browser.worker, { key, organization, name }), { id });
  }

  async send(method, path, body) {
    const headers = { authorization: `Bearer ${this.key}`, ...(body !== undefined && { "content-type": "application/json" }) };
    const response = await fetch(new URL(path, this.worker.url), { method, headers, body: body && JSON.stringify(body) });
    return new Answer(`${method} ${path}`, response, await response.text());
  }

  /** What a new session asks for. */
  request(over = {}) {
    const verifier = randomBytes(32).toString("base64url");
    const body = {
      organization_id: this.organization,
      external_user_id: `user-${randomUUID()}`,
      integration_types: ["supabase"],
      return_url: RETURN_URL,
      code_challenge: challengeOf(verifier),
      ...over,
    };
    return { verifier, body };
  }

  /** Starts a session: the answer's fields, and `verifier` and `user`. */
  async start(over) {
    const { verifier, body } = this.request(over);
    const { json } = (await this.send("POST", "/api/connect-sessions", body)).expect(201);
    return { ...json, verifier, user: body.external_user_id };
  }

  show(id) {
    return this.send("GET", `/api/connect-sessions/${id}`);
  }

  async stateOf({ id }) {
    return (await this.show(id)).expect(200).json.state;
  }

  complete({ id, verifier }, code, over = {}) {
    return this.send("POST", `/api/connect-sessions/${id}/complete`, { code, code_verifier: verifier, ...over });
  }
}

export const tokenOf = ({ url }) => new URL(url).hash.slice(1);

/** The browser of a backend's user, in which nobody is signed in here. */
export class SessionBrowser extends BrowserSession {
  open(session) {
    return this.post("/api/connect", { token: tokenOf(session) });
  }

  step(session, name, body = {}) {
    return this.post(`/api/connect/${session.id}/${name}`, body);
  }

  /** Opens the link and starts the authorization: the provider's URL. */
  async authorization(session, type = "supabase") {
    (await this.open(session)).expect(200);
    return (await this.step(session, "authorize", { integration_type: type })).expect(200).json.authorization_url;
  }

  /** The same, and consents as `login`: the callback's URL, which is still to be opened. */
  async consentTo(session, login) {
    return authorize(await this.authorization(session), { login });
  }

  /** The whole way: the URL that the browser returns to. */
  async finish(session, login) {
    const { location } = (await this.get(await this.consentTo(session, login))).expect(303);
    return new URL(location);
  }
}
