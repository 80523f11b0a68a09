// Every committed version of every row. A trigger writes it down in the transaction that makes it, so nothing happens between two
// looks: each version is judged, in the order in which it came about, against the one before it.
import { isDeepStrictEqual } from "node:util";

import { opened } from "./sealing.mjs";

const SCHEMA = `
  create schema chaos;
  create table chaos.versions (
    seq bigserial, xid xid8 not null default pg_current_xact_id(), at timestamptz not null default clock_timestamp(),
    id uuid not null, organization_id uuid, config jsonb, updated_at timestamptz, deleted boolean not null,
    rewrap boolean not null, harness boolean not null
  );
  create function chaos.record() returns trigger language plpgsql security definer set search_path = '' as $$
  begin
    insert into chaos.versions (id, organization_id, config, updated_at, deleted, rewrap, harness) values (
      coalesce(new.id, old.id), new.organization_id, new.config, new.updated_at, tg_op = 'DELETE',
      coalesce(current_setting('integrations.rewrap', true) = 'on', false),
      coalesce(current_setting('chaos.harness', true) = 'on', false)
    );
    return null;
  end
  $$;
  create trigger record after insert or update or delete on public.integrations for each row execute function chaos.record();`;

export class Journal {
  /** By id: the newest version, its config in the clear. */
  #rows = new Map();
  /** By kid: until when writers may seal with it (milliseconds; Infinity for now). */
  #writers = new Map();

  constructor(sql, report, nonces, dataKeys) {
    Object.assign(this, { sql, report, nonces, dataKeys, keys: [], rewraps: 0 });
  }

  begin() {
    return this.sql.unsafe(SCHEMA);
  }

  /** From now on there are writers that seal with this key. */
  admit({ kid }) {
    this.#writers.set(kid, Infinity);
  }

  /** All writers with this key have ended. */
  dismiss({ kid }) {
    this.#writers.set(kid, Date.now());
  }

  /** Judges what has been committed since the last time. Returns how many of it a rotation wrote. */
  async read() {
    // Of transactions that all others can see, so that none of an earlier number can still come.
    const versions = await this.sql`
      with taken as (delete from chaos.versions where xid < pg_snapshot_xmin(pg_current_snapshot()) returning *)
      select * from taken order by seq`;
    const before = this.rewraps;
    await this.dataKeys.load();
    for (const version of versions) this.#judge(version);
    return this.rewraps - before;
  }

  /** Until all that was committed before the call has been judged. */
  async readAll() {
    const before = this.rewraps;
    const [{ last }] = await this.sql`select coalesce(max(seq), 0) as last from chaos.versions`;
    for (;;) {
      await this.read();
      const [{ left }] = await this.sql`select count(*)::int as left from chaos.versions where seq <= ${last}`;
      if (left === 0) return this.rewraps - before;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  #judge(version) {
    const { report } = this;
    const { id, deleted, rewrap, harness, config } = version;
    const before = this.#rows.get(id);
    report.count("versions judged");
    if (rewrap) this.#countRewrap();
    if (before?.deleted) report.violation("a deleted row stays deleted", `no row ${id}`, rewrap ? "a rotation wrote it" : "it is there again");
    if (deleted) {
      this.#rows.set(id, { deleted });
      return;
    }
    this.nonces.take(JSON.stringify(config));
    const kid = config?._enc?.kid;
    const { plain, fault } = opened(this.keys, version, this.dataKeys);
    const after = { plain, fault, kid, config, updated: version.updated_at.getTime() };
    this.#rows.set(id, after);
    if (harness) return;
    if (fault) {
      report.violation("every row opens with the ring at every moment", `row ${id} opens`, `${fault} after ${rewrap ? "a rotation" : "a write"}`);
    } else if (rewrap || isResealed(before, after)) {
      this.#judgeRewrap(id, before, after);
    } else if (!(before && isDeepStrictEqual(before.config, config))) {
      // A write that changes other columns only leaves the config on whatever key it is.
      const until = config?._enc?.v === 3 ? Infinity : (this.#writers.get(kid) ?? -Infinity);
      report.require(version.at.getTime() <= until, "no kid goes back after the switch", `row ${id} on a key that writes now`, `kid ${kid}`);
    }
  }

  #countRewrap() {
    this.rewraps += 1;
    this.report.count("rows rewrapped");
  }

  #judgeRewrap(id, before, after) {
    const { report } = this;
    if (!before || before.deleted) {
      report.violation("a rotation writes rows that are there", `row ${id} before it`, "none");
      return;
    }
    report.require(after.config?._enc?.v === 3, "a rotation moves rows to data keys", "version 3", `row ${id} on ${after.kid}`);
    report.require(before.kid !== after.kid, "a row that is on its data key is not written", `row ${id} left alone`, "written again");
    report.require(
      isDeepStrictEqual(before.plain, after.plain),
      "a rotation keeps every value of the version before, secret or not",
      `the fields of row ${id} as they were`,
      `others: ${differences(before.plain, after.plain)}`,
    );
    report.require(before.updated === after.updated, "a rotation keeps updated_at", `row ${id}: ${before.updated}`, after.updated);
  }
}

/** What a rotation does, whether it says so or not: every other writer brings other secrets. */
function isResealed(before, after) {
  return before?.plain !== undefined && !isDeepStrictEqual(before.config, after.config) && isDeepStrictEqual(before.plain, after.plain);
}

/** The names of the fields that differ; never their values. */
export function differences(one, other) {
  const names = new Set([...Object.keys(one ?? {}), ...Object.keys(other ?? {})]);
  return [...names].filter((name) => !isDeepStrictEqual(one?.[name], other?.[name])).join(", ") || "none";
}
