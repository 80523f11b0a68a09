// Everything that a run needs, started and stopped as one.
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import postgres from "postgres";

import { startStack } from "../../stack/stack.mjs";
import { connect } from "../../support/database.mjs";
import { startProxy } from "../../support/proxy.mjs";
import { insertScannable, queueRun, startScanner } from "../../support/scanner.mjs";
import { bounded, countLostWrites } from "../bounded.mjs";
import { gatewayFaults } from "../worker/gateway-faults.mjs";
import { workerdProcesses } from "../worker/deployment.mjs";
import { judge } from "./judge.mjs";
import { startProvider } from "./provider.mjs";

const SCANNERS = 2;
/** A lease is three minutes; in a drain nobody waits for it. */
const DRAIN_MS = 120_000;

export class Fixture {
  #stops = [];
  #scanners = [];
  #logs = [];
  #isOver = false;

  static async start(options) {
    const fixture = new Fixture();
    try {
      await fixture.#start(options);
      return fixture;
    } catch (error) {
      await fixture.stop();
      throw error;
    }
  }

  async #start({ dir, random, report, size }) {
    mkdirSync(path.join(dir, "logs"), { recursive: true });
    countLostWrites(report);
    Object.assign(this, { dir, random, report, integrations: [] });
    const onExit = (error) => report.violation("the servers go on running", "no server ends by itself", error.message);
    const stack = await startStack({ dir, appUrl: "http://localhost:3000", onExit });
    this.#stops.push(stack.stop);
    this.crashDatabase = stack.crashDatabase;
    const sql = connect(stack.info);
    this.sql = sql;
    this.#stops.push(() => sql.end({ timeout: 5 }));
    const superuser = new URL(stack.info.database_url);
    superuser.username = "supabase_admin";
    this.superuser = postgres(superuser.href, { max: 1, onnotice: () => {} });
    this.#stops.push(() => this.superuser.end({ timeout: 5 }));
    const gateway = await startProxy(stack.info.supabase_url);
    this.#stops.push(gateway.stop);
    this.provider = await startProvider({ random: random.fork(), report });
    this.#stops.push(this.provider.stop);
    this.gateway = gatewayFaults({ gateway, random: random.fork(), report, isVictim: () => false });
    this.info = { ...stack.info, supabase_url: gateway.url };
    for (let n = 0; n < size.accounts; n++) await this.#connectAccount();
    for (let n = 0; n < SCANNERS; n++) this.#scanners.push(await this.#begin());
  }

  async #connectAccount() {
    const integration = await insertScannable(this);
    this.provider.change(integration.account);
    this.integrations.push(integration);
  }

  async #begin() {
    const before = new Set(workerdProcesses());
    const scanner = await startScanner(this.info, { SUPABASE_BASE_URL: this.provider.url });
    this.#logs.push(scanner.logs);
    return { ...scanner, pids: workerdProcesses().filter((pid) => !before.has(pid)) };
  }

  /** kill -9 of a scanner's workerd, and another one in its place. */
  async #kill(n) {
    const scanner = this.#scanners[n];
    this.report.count("kills of a scanner");
    for (const pid of scanner.pids) process.kill(pid, "SIGKILL");
    await Promise.race([scanner.stop().catch(() => {}), delay(5000)]);
    if (!this.#isOver) this.#scanners[n] = await this.#begin();
  }

  async storm(ms) {
    const end = Date.now() + ms;
    const every = async (from, to, work) => {
      while (Date.now() < end) {
        await delay(this.random.between(from, to));
        if (Date.now() < end) await work();
      }
    };
    const pick = () => this.random.pick(this.integrations);
    await Promise.all([
      ...this.#scanners.map((_, n) => every(100, 400, () => this.#scheduled(n))),
      every(50, 200, async () => {
        if (await bounded(queueRun(this, pick()))) this.report.count("runs");
      }),
      every(100, 300, () => this.provider.change(pick().account)),
      every(1500, 5000, () => this.#kill(this.random.between(0, SCANNERS - 1))),
      every(3000, 8000, async () => {
        this.report.count("ends of all database sessions");
        await bounded(this.superuser`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'`);
      }),
      every(4000, 10_000, async () => {
        this.report.count("crashes of the database's server");
        await this.crashDatabase(this.random.pick(["SIGKILL", "SIGQUIT"]));
      }),
      // A lease that ends while its scanner still works: what that one writes from then on must be rejected.
      every(300, 1500, async () => {
        const ended = await bounded(this.sql`update private.scan_claims set due_at = now() where owner is not null and random() < 0.5`);
        this.report.count("leases that ended early", ended?.count ?? 0);
      }),
      every(4000, 9000, async () => {
        const [gone] = this.integrations.splice(this.random.between(0, this.integrations.length - 1), 1);
        if (!(await bounded(this.sql`delete from public.integrations where id = ${gone.id}`))) this.integrations.push(gone);
        this.report.count("integrations deleted");
        await bounded(this.#connectAccount());
      }),
    ]);
  }

  #scheduled(n) {
    // A run of the schedule may take as long as its slowest answer, and a scanner that was killed never answers.
    return Promise.race([Promise.resolve(this.#scanners[n].scheduled()).catch(() => {}), delay(20_000)]);
  }

  async verdict() {
    this.provider.calm();
    this.gateway.calm();
    // Of the connections that have seen a crash some may wait for an answer for ever.
    this.sql = connect(this.info);
    const { sql } = this;
    this.#stops.push(() => sql.end({ timeout: 5 }));
    await this.#drain("a run ends");
    // What a crash hid from us may have been done.
    const left = new Set((await this.sql`select id from public.integrations`).map(({ id }) => id));
    this.integrations = this.integrations.filter(({ id }) => left.has(id));
    // Now everything can be seen: what stands in the end must be what is true.
    for (const integration of this.integrations) await queueRun(this, integration);
    await this.#drain("a run ends when nothing disturbs it");
    await judge(this);
  }

  async #drain(invariant) {
    const end = Date.now() + DRAIN_MS;
    for (;;) {
      const open = await this.sql`select a.id, c.claims, c.owner, c.due_at from public.assessments a left join private.scan_claims c on c.assessment_id = a.id where a.state <> 'done'`;
      if (open.length === 0) return;
      if (Date.now() > end) return this.report.violation(invariant, "no run is open", `${open.length} runs, such as ${JSON.stringify(open[0])}`);
      await this.sql`update private.scan_claims set due_at = now()`;
      await Promise.all(this.#scanners.map((_, n) => this.#scheduled(n)));
      await delay(200);
    }
  }

  async stop() {
    this.#isOver = true;
    for (const { stop } of this.#scanners) await Promise.race([stop().catch(() => {}), delay(5000)]);
    const lines = this.#logs.flatMap((logs) => logs()).map(({ level, message }) => `${level} ${message}\n`);
    if (this.dir) writeFileSync(path.join(this.dir, "logs/scanners.log"), lines.join(""));
    for (const stop of this.#stops.reverse()) await stop();
  }

  discard() {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
