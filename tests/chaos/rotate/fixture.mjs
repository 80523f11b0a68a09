// Everything that a run needs, started and stopped as one.
import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";

import postgres from "postgres";

import { startStack } from "../../stack/stack.mjs";
import { registerClient } from "../../support/clients.mjs";
import { startWorker } from "../../support/worker.mjs";
import { startFront } from "./front.mjs";
import { startGrants } from "./grants.mjs";
import { Journal } from "./journal.mjs";
import { Keytool } from "./keytool.mjs";
import { Load } from "./load.mjs";
import { Model } from "./model.mjs";
import { Prepared } from "./prepared.mjs";
import { DataKeys, Nonces } from "./sealing.mjs";

const USERS = 30;
const CALLBACKS = ["/api/auth/callback", "/api/auth/callback/supabase"];

export class Fixture {
  #stops = [];
  #deployments = [];

  /** `dir` is for what the servers write; `program` is keytool. */
  static async start({ dir, program, random, report }) {
    const fixture = new Fixture();
    try {
      await fixture.#start({ dir, program, random, report });
      return fixture;
    } catch (error) {
      await fixture.stop();
      throw error;
    }
  }

  async #start({ dir, program, random, report }) {
    mkdirSync(dir, { recursive: true });
    Object.assign(this, { dir, report });
    this.front = await startFront();
    this.#stops.push(this.front.stop);
    const fail = (error) => report.violation("the servers go on running", "no server ends by itself", error.message);
    const stack = await startStack({ dir, appUrl: this.front.url, onExit: fail });
    this.#stops.push(stack.stop);
    this.info = stack.info;
    const { authorization_server_url } = this.info;
    this.client = await registerClient(this.info, CALLBACKS.map((callback) => this.front.url + callback));
    const grants = await startGrants(authorization_server_url);
    this.#stops.push(grants.stop);
    this.authorizationServer = grants.url;

    this.owner = this.#connect("postgres", {});
    const harness = this.#connect("postgres", { "chaos.harness": "on" });
    this.service = this.#connect("authenticator", { role: "service_role" });
    this.nonces = new Nonces(report);
    this.dataKeys = new DataKeys(this.owner);
    this.journal = new Journal(this.owner, report, this.nonces, this.dataKeys);
    await this.journal.begin();
    this.model = new Model(this.owner, report, this.dataKeys);
    const users = Array.from({ length: USERS }, () => randomUUID());
    this.prepared = new Prepared({ sql: harness, model: this.model, random: random.fork(), users, dataKeys: this.dataKeys });
    this.keytool = new Keytool({ program, info: this.info, report, nonces: this.nonces });
    this.#stops.push(() => this.keytool.stop());
    const { info, front, service: sql, owner, model, dataKeys } = this;
    this.load = new Load({ info, front, grants, sql, owner, model, report, random: random.fork(), users, dataKeys });
    this.#stops.push(() => this.load.end());
  }

  #connect(role, settings) {
    const url = new URL(this.info.database_url);
    url.username = role;
    const sql = postgres(url.href, { max: 8, connection: settings, onnotice: () => {} });
    this.#stops.push(() => sql.end({ timeout: 1 }));
    return sql;
  }

  /** Deploys the worker with a ring of keys, the first one primary, and lets requests come to it. */
  async deploy(keys) {
    const [primary, ...fallbacks] = keys.map(({ base64 }) => base64);
    const worker = await startWorker(this.info, {
      APP_URL: this.front.url,
      SUPABASE_BASE_URL: this.authorizationServer,
      SUPABASE_CLIENT_ID: this.client.client_id,
      SUPABASE_CLIENT_SECRET: this.client.client_secret,
      ENCRYPTION_KEY: primary,
      FALLBACK_ENCRYPTION_KEYS: fallbacks.join(",") || undefined,
    });
    this.report.count("deployments");
    const name = path.join(this.dir, "logs", `worker-${this.report.counts.deployments}.log`);
    const stop = async () => {
      const lines = worker.logs().map(({ level, message }) => `${level} ${message}\n`);
      writeFileSync(name, lines.join(""));
      await worker.stop();
    };
    const deployment = { url: worker.url, stop };
    this.#deployments.push(deployment);
    this.front.add(worker.url);
    return deployment;
  }

  /** Takes a deployment away when it has answered all that it got. */
  async undeploy(deployment) {
    await this.front.remove(deployment.url);
    this.#deployments.splice(this.#deployments.indexOf(deployment), 1);
    await deployment.stop();
  }

  async stop() {
    // The load goes first: whatever it still asks is answered.
    for (const stop of this.#stops.splice(this.#stops.length - 2)) await stop();
    for (const { stop } of this.#deployments.splice(0)) await stop();
    while (this.#stops.length) await this.#stops.pop()();
  }

  /** Nothing is worth keeping of a run without a violation. */
  discard() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
