// What goes on while the key is changed: users at the worker, and writers that call the worker's database functions as another
// of its isolates would, more often than a browser could.
import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

import { BrowserSession } from "../../support/browser-session.mjs";
import { plainConfig } from "./prepared.mjs";
import { sealed } from "./sealing.mjs";

const PAUSE_MS = { users: 20, writers: 4, limits: 1000 };
const NEWEST = 500;

export class Load {
  #loops = [];
  #going = false;

  /**
   * `front` is where the worker is reached, `grants` what the authorization server gave out, `sql` the service role's client,
   * `owner` the database owner's, `users` those whose organisations the writers write to.
   */
  constructor({ info, front, grants, sql, owner, model, report, random, users, dataKeys }) {
    Object.assign(this, { front, grants, sql, owner, model, report, random, users, dataKeys });
    this.worker = { url: front.url, info: { ...info, app_url: front.url } };
    /** The key ring of the direct writers, as the worker has it. */
    this.keys = [];
  }

  async begin({ users, writers }) {
    this.visitors = await Promise.all(Array.from({ length: users }, () => BrowserSession.signedIn(this.worker)));
    this.#going = true;
    const random = () => this.random.fork();
    this.#loops = [
      ...this.visitors.map((browser) => this.#loop("requests to the worker", PAUSE_MS.users, random(), (own) => this.#use(browser, own))),
      ...Array.from({ length: writers }, () => this.#loop("direct writes", PAUSE_MS.writers, random(), (own) => this.#write(own))),
      // These few users ask for more than a user may.
      this.#loop("limits lifted", PAUSE_MS.limits, random(), () => this.owner`delete from private.rate_limits`),
    ];
  }

  /** Ends it; what is under way comes to its end first. */
  async end() {
    this.#going = false;
    await Promise.all(this.#loops);
  }

  async #loop(name, pause, random, act) {
    while (this.#going) {
      try {
        await act(random);
        this.report.count(name);
      } catch (error) {
        this.report.count("errors of the worker");
        this.report.violation("the worker's error rate is 0", `${name} succeed`, error.message);
      }
      await delay(pause * (0.5 + random.next()));
    }
  }

  /** One thing that a user does. */
  async #use(browser, random) {
    const mine = this.model.idle((row) => row.browser === browser);
    if (mine.length === 0 || (mine.length < 8 && random.next() < 0.15)) return this.#connect(browser);
    const row = random.pick(mine);
    const acts = [
      [0.35, () => this.#list(browser)],
      [0.65, () => this.#refresh(browser, row)],
      [0.8, () => this.#rename(browser, row)],
      [0.9, () => this.#reconnect(browser, row)],
      [1, () => this.#remove(browser, row)],
    ];
    const chance = random.next();
    await acts.find(([until]) => chance < until)[1]();
  }

  async #connect(browser) {
    const login = `chaos-${randomUUID()}`;
    const callback = await browser.consent(login);
    const id = connectedId(this.worker, (await browser.get(callback)).expect(303));
    this.model.add({ id, organization_id: browser.user.id, browser, login }, tokens(this.grants.ofCode(callback)));
  }

  async #list(browser) {
    (await browser.get("/api/integrations")).expect(200);
  }

  /** A refresh soon after another finds fresh tokens and asks for none. */
  #refresh(browser, row) {
    return this.model.during(row, async () => {
      (await browser.post(`/api/integrations/${row.id}/refresh`, {})).expect(200);
      const grant = this.grants.ofRefreshToken(row.fields.refresh_token);
      return grant ? tokens(grant) : row.fields;
    });
  }

  #rename(browser, row) {
    return this.model.during(row, async () => {
      (await browser.patch(`/api/integrations/${row.id}`, { name: `Name ${randomUUID()}` })).expect(200);
      return row.fields;
    });
  }

  #reconnect(browser, row) {
    return this.model.during(row, async () => {
      const callback = await browser.reconsent(row.id, row.login);
      const id = connectedId(this.worker, (await browser.get(callback)).expect(303));
      if (id !== row.id) throw new Error(`the reconnection of ${row.id} ended at ${id}`);
      row.reconnected = true;
      return tokens(this.grants.ofCode(callback));
    });
  }

  /** The provider takes the grant back only if the worker could open it. After a reconnection the row's earlier grant may exist still. */
  #remove(browser, row) {
    return this.model.during(row, async () => {
      const { json } = (await browser.delete(`/api/integrations/${row.id}`)).expect(200);
      const right = row.reconnected ? "unknown" : true;
      if (json.revoked !== right) throw new Error(`deleted, but revoked is ${json.revoked} instead of ${right}`);
      return null;
    });
  }

  /** One thing that another isolate does. */
  async #write(random) {
    const chance = random.next();
    if (chance < 0.1) return this.#insert(random);
    const rows = this.model.idle((row) => row.external_account_id !== undefined && !row.fixed);
    if (rows.length === 0) return this.#insert(random);
    // The newest rows are those that a rotation has yet to come to: that is where it can be raced.
    const row = random.pick(random.next() < 0.5 ? rows.slice(-NEWEST) : rows);
    if (chance < 0.2) {
      return this.model.during(row, async () => {
        const owner = randomUUID();
        const [{ answer }] = await this.sql`
          select public.disconnect_integration(
            p_id => ${row.id}, p_user_id => ${row.organization_id}, p_owner => ${owner}, p_wide_types => '{}', p_request_id => 'chaos'
          ) as answer`;
        if (answer.outcome !== "disconnected") throw new Error(`a disconnection was answered with ${answer.outcome}`);
        await this.sql`
          select public.settle_revocation(p_id => ${answer.revocation.id}, p_owner => ${owner}, p_result => 'revoked', p_request_id => 'chaos')`;
        return null;
      });
    }
    return this.model.during(row, async () => {
      const plain = plainConfig(row.external_account_id, random);
      await this.complete(row, await this.#sealed(row, plain), "updated");
      return plain;
    });
  }

  async #insert(random) {
    const row = { id: randomUUID(), organization_id: random.pick(this.users), external_account_id: randomBytes(10).toString("hex"), name: "Chaos" };
    const plain = plainConfig(row.external_account_id, random);
    await this.complete(row, await this.#sealed(row, plain), "created");
    this.model.add(row, plain);
  }

  async #sealed(row, plain) {
    return sealed(this.keys[0], row, plain, await this.dataKeys.current(this.sql, this.keys, row.organization_id));
  }

  async complete(row, config, expected) {
    const [{ answer }] = await this.sql`
      select public.complete_connection(
        p_id => ${row.id}, p_user_id => ${row.organization_id}, p_organization_id => ${row.organization_id},
        p_integration_type => 'supabase', p_external_account_id => ${row.external_account_id}, p_name => ${row.name},
        p_config => ${this.sql.json(config)}, p_request_id => 'chaos') as answer`;
    if (answer.outcome !== expected) throw new Error(`a completion was answered with ${answer.outcome}`);
  }
}

function connectedId(worker, { location }) {
  const id = new URL(location, worker.url).searchParams.get("connected");
  if (!id) throw new Error("the callback ended without an integration");
  return id;
}

function tokens({ access_token, refresh_token }) {
  return { access_token, refresh_token };
}
