// What hits everybody: the database crashes, its sessions are ended, its rows are locked, workerd is killed. Each is a window in time, in
// which a request may fail without anybody's fault.
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

import { bounded } from "../bounded.mjs";

const DEADLINE_MS = 60_000;
/** What was under way when an outage ended may still fail a moment later. */
const AFTER_MS = 3000;

export class Outages {
  /** `[{ kind, from, until }]` */
  windows = [];
  /** `[{ from, until, hits }]`, of those that hit something. */
  traps = [];
  /** How often each import was called, at the most, between two looks. */
  counts = {};

  constructor({ superuser, info, random, report, deployment }) {
    Object.assign(this, { superuser, info, random, report, deployment });
  }

  /** Whether anything that hits everybody overlapped this time. `kinds`: only these. */
  overlaps(from, until, kinds) {
    return this.windows.some((window) => window.from <= until && window.until >= from && (!kinds || kinds.includes(window.kind)));
  }

  async one() {
    const kind = this.random.pick(["crash", "terminate", "kill", "kill"]);
    const window = { kind, from: Date.now(), until: Infinity };
    this.windows.push(window);
    this.report.count({ crash: "crashes of PostgreSQL", terminate: "ends of all database sessions", kill: "kills of workerd" }[kind]);
    try {
      await this[kind]();
    } finally {
      window.until = Date.now() + AFTER_MS;
    }
  }

  /** kill -9 of a backend: PostgreSQL ends all others, and recovers from its log. */
  async crash() {
    const [backend] = (await bounded(this.superuser`select pid from pg_stat_activity where usename = 'authenticator' order by random() limit 1`)) ?? [];
    if (backend) process.kill(backend.pid, "SIGKILL");
    await this.#answers();
  }

  async terminate() {
    await bounded(this.superuser`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'`);
    await this.#answers();
  }

  async kill() {
    await this.deployment.kill();
  }

  /** Somebody's transaction holds the rows of these organizations: every call that writes one waits, or gives up. */
  async lock(organizations) {
    const seconds = this.random.between(3, 12);
    this.report.count("locks of rows");
    const held = this.superuser.begin(async (sql) => {
      await sql`select from public.integrations where organization_id = any (${organizations}) for update`;
      await sql`select pg_sleep(${seconds})`;
    });
    await bounded(held, (seconds + 5) * 1000);
  }

  /** A trap in the wasm, at any import: it may cost the request in which it happens, and nothing else. */
  async trap() {
    const { counts } = this;
    const names = Object.keys(counts);
    const name = names.length ? this.random.pick(names) : "poll";
    const from = Date.now();
    const worker = this.deployment.started;
    const logged = this.deployment.endedByTrap();
    await this.deployment.trap({ name, nth: this.random.between(1, Math.max(1, Math.min(counts[name] ?? 1, 50))) });
    await delay(this.random.between(300, 1500));
    const counted = await this.deployment.trap();
    for (const [name, count] of Object.entries(counted?.counts ?? {})) counts[name] = Math.max(counts[name] ?? 0, count);
    // A worker that was killed meanwhile took its count along; its log has the trap. A fault is hit once at the most.
    const isSame = counted && worker === this.deployment.started;
    const hits = isSame ? counted.hits : Math.min(1, this.deployment.endedByTrap() - logged);
    this.report.count("traps", hits);
    if (hits > 0) this.traps.push({ from, until: Date.now(), hits });
  }

  /** Those of these failures, `{ from, until }`, that no trap explains: each trap ends one request of its time. */
  unexplained(failures) {
    const hits = this.traps.flatMap((trap) => Array.from({ length: trap.hits }, () => trap));
    const taken = new Map();
    // The largest matching: a failure takes a trap over if whoever has it finds another.
    const explain = (failure, tried) => {
      for (const [index, { from, until }] of hits.entries()) {
        if (tried.has(index) || from > failure.until || until < failure.from) continue;
        tried.add(index);
        if (taken.has(index) && !explain(taken.get(index), tried)) continue;
        taken.set(index, failure);
        return true;
      }
      return false;
    };
    return failures.filter((failure) => !explain(failure, new Set()));
  }

  /** Waits until PostgREST answers from the database again. */
  async #answers() {
    const { supabase_url: url, secret_key: apikey } = this.info;
    const end = Date.now() + DEADLINE_MS;
    while (Date.now() < end) {
      await delay(100);
      const answer = await fetch(`${url}/rest/v1/rpc/pause_provider`, {
        method: "POST",
        headers: { apikey, "content-type": "application/json" },
        body: JSON.stringify({ p_id: randomUUID(), p_endpoint: "api", p_seconds: 1, p_organizations: null }),
      }).catch(() => undefined);
      if (answer?.ok) return;
    }
    this.report.violation("the database comes back", `within ${DEADLINE_MS / 1000} s`, "it does not answer");
  }
}
