// Everything that a run needs, started and stopped as one.
import { appendFileSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import postgres from "postgres";

import { openedWith } from "../../support/integrations.mjs";
import { startProxy } from "../../support/proxy.mjs";
import { startStack } from "../../stack/stack.mjs";
import { bounded, countLostWrites } from "../bounded.mjs";
import { Deployment } from "./deployment.mjs";
import { gatewayFaults } from "./gateway-faults.mjs";
import { attack } from "./hostile.mjs";
import { Judge } from "./judge.mjs";
import { Ledger } from "./ledger.mjs";
import { Outages } from "./outages.mjs";
import { startProvider } from "./provider.mjs";
import { startReceivers } from "./receivers.mjs";
import { User } from "./user.mjs";

const ATTACK_EVERY_MS = 60;
const SCHEDULE_EVERY_MS = 3000;
/** What the proxy of the gateway keeps for tests nobody here reads. */
const FORGET_EVERY_MS = 5000;

export class Fixture {
  #stops = [];
  #loops = [];
  #ended = new AbortController();

  static async start({ dir, random, report, size }) {
    const fixture = new Fixture();
    try {
      await fixture.#start({ dir, random, report, size });
      return fixture;
    } catch (error) {
      await fixture.stop();
      throw error;
    }
  }

  async #start({ dir, random, report, size }) {
    mkdirSync(path.join(dir, "logs"), { recursive: true });
    countLostWrites(report);
    Object.assign(this, { dir, report, size, random, logs: path.join(dir, "logs"), ledger: new Ledger(), failures: [] });
    const onExit = (error) => report.violation("the servers go on running", "no server ends by itself", error.message);
    const stack = await startStack({ dir, appUrl: "http://localhost:3000", onExit });
    this.#stops.push(stack.stop);
    this.superuser = this.#connect(stack.info, "supabase_admin");
    this.sql = this.#connect(stack.info, "postgres");
    await Judge.begin(this.sql);

    const gateway = await startProxy(stack.info.supabase_url);
    this.#stops.push(gateway.stop);
    this.direct = stack.info;
    this.info = { ...stack.info, supabase_url: gateway.url };
    // A user has one kind of trouble or none, so that not everything fails at once that must not.
    const [provider, database] = [new Set(), new Set()];
    this.provider = await startProvider({
      server: this.info.authorization_server_url, ledger: this.ledger, random: random.fork(), report, isVictim: (user) => provider.has(user),
    });
    this.#stops.push(this.provider.stop);
    this.gateway = gatewayFaults({ gateway, random: random.fork(), report, isVictim: (id) => [...database].some((user) => user.id === id) });
    this.deployment = await Deployment.start({ info: this.info, provider: this.provider.url, logs: this.logs });
    this.#stops.push(() => this.deployment.stop());
    const { superuser, deployment } = this;
    this.outages = new Outages({ superuser, info: stack.info, random: random.fork(), report, deployment });

    this.receivers = await startReceivers({ random: random.fork(), report });
    this.#stops.push(this.receivers.stop);
    this.users = [];
    for (const [kind, victims] of [["provider", provider], ["database", database], ["bystander", undefined]]) {
      for (let n = 0; n < size.users; n++) {
        const user = new User(`${kind}-${n}`, { fixture: this, random: random.fork(), isVictim: victims !== undefined });
        await user.begin();
        await user.subscribe(this.receivers.urls[n % this.receivers.urls.length]);
        victims?.add(user);
        this.users.push(user);
      }
    }
    this.#every(FORGET_EVERY_MS, () => void (gateway.requests.length = 0));
  }

  /** What PostgreSQL has answered survives its crash, as everywhere but in a stack for tests. */
  #connect(info, role) {
    const url = new URL(info.database_url);
    url.username = role;
    const sql = postgres(url.href, { max: 4, onnotice: () => {} });
    this.#stops.push(() => sql.end({ timeout: 1 }));
    return sql;
  }

  #every(ms, act) {
    const loop = async () => {
      while (!this.#ended.signal.aborted) {
        await delay(ms, undefined, { signal: this.#ended.signal }).catch(() => {});
        if (!this.#ended.signal.aborted) await act();
      }
    };
    this.#loops.push(loop());
  }

  /** For whoever looks into a violation: a line of the journal. Nothing in it is secret. */
  note(line) {
    appendFileSync(path.join(this.logs, "requests.jsonl"), `${JSON.stringify(line)}\n`);
  }

  /** Lets everything happen at once for so long. */
  async storm(ms) {
    const { users, deployment, outages, report, info } = this;
    for (const user of users) user.run();
    const hostile = this.random.fork();
    this.#every(ATTACK_EVERY_MS, async () => {
      const from = Date.now();
      const { name, status } = await attack({ url: deployment.url, info, random: hostile });
      report.count("hostile requests");
      if (status >= 400 && status < 500) return;
      if (outages.overlaps(from, Date.now())) return;
      this.failures.push({ from, until: Date.now(), what: `${name}, which a stranger sends, is refused (4xx)`, came: status || "no answer" });
    });
    this.#every(SCHEDULE_EVERY_MS, () => deployment.scheduled());
    const plan = this.random.fork();
    this.#every(1000, async () => {
      await delay(plan.between(...this.size.calm), undefined, { signal: this.#ended.signal }).catch(() => {});
      if (!this.#ended.signal.aborted) await outages.one();
    });
    this.#every(100, () => outages.trap());
    const victims = users.filter(({ name }) => name.startsWith("database")).map(({ id }) => id);
    this.#every(this.size.calm[1], () => outages.lock(victims));
    await delay(ms);
    this.#ended.abort();
    await Promise.all([...this.#loops, ...users.map((user) => user.stop())]);
    // Still with faults: a short run would see hardly any revocation fail.
    await Promise.all(users.filter(({ isVictim }) => isVictim).map((user) => user.endSome()));
    const unexplained = outages.unexplained(this.failures);
    report.count("requests that a trap ended", this.failures.length - unexplained.length);
    for (const { what, came } of unexplained) report.violation("nobody else's request fails", what, came);
  }

  /** Nothing fails any more, and what waits comes to its end; then the verdict. */
  async verdict() {
    this.provider.calm();
    this.gateway.calm();
    // What stalls still arrives.
    await delay(this.size.drain);
    // Of the connections that have seen a crash some may wait for an answer for ever.
    this.sql = this.#connect(this.direct, "postgres");
    const judge = new Judge(this);
    await judge.settle();
    await judge.judge();
  }

  /** The credential of a row, opened: `[tokens]`, or `[]`. */
  async stored(id) {
    const rows = await bounded(this.sql`select * from public.integrations where id = ${id}`);
    const [row] = rows ?? [];
    const keys = row && (await bounded(this.sql`select * from private.data_keys where organization_id = ${row.organization_id}`));
    return keys ? [openedWith(this.info, row, keys)] : [];
  }

  async stop() {
    this.#ended.abort();
    await Promise.allSettled(this.#loops);
    while (this.#stops.length) await this.#stops.pop()();
  }

  discard() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
