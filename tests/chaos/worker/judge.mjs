// The verdict: which grants live at the authorization server, what is stored, and whether the one fits the other. The worker's word counts
// nowhere.
import { openedWith } from "../../support/integrations.mjs";

/** How long after a redemption its result may still have been in the worker's memory alone. */
const IN_MEMORY_MS = 45_000;
const SETTLE_ROUNDS = 25;
const OVER = ["reconnect_required", "revoked"];

export class Judge {
  constructor(fixture) {
    Object.assign(this, fixture);
    this.fixture = fixture;
  }

  /** Writes down which credential stood in which row when. */
  static begin(sql) {
    return sql.unsafe(`
      create schema chaos;
      create table chaos.versions (
        seq bigserial, at timestamptz not null default clock_timestamp(), id uuid not null, organization_id uuid, config jsonb,
        status text, deleted boolean not null
      );
      create function chaos.record() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
      begin
        insert into chaos.versions (id, organization_id, config, status, deleted)
          values (coalesce(new.id, old.id), new.organization_id, new.config, new.status, tg_op = 'DELETE');
        return null;
      end
      $$;
      create trigger record after insert or update or delete on public.integrations for each row execute function chaos.record();`);
  }

  /** Runs the schedule until nothing is left to do; what would take long is made due. */
  async settle() {
    const { sql, deployment, report } = this;
    // The access tokens end now, so that each connection has to prove that it can be refreshed. Not as another writer of the config would do
    // it: that ends a lease, and with it a refresh that waits there to be written.
    await sql.begin(async (own) => {
      await own`set local integrations.settle = 'on'`;
      await own`
        update public.integrations
        set config = config || jsonb_build_object('expires_at', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
        where status not in ('reconnect_required', 'revoked')`;
    });
    for (let round = 0; round < SETTLE_ROUNDS; round++) {
      await sql`update public.pending_connections set expires_at = now() - interval '1 second'`;
      await sql`update private.pending_revocations set next_attempt_at = now(), leased_until = case when owner is not null then now() - interval '1 second' end`;
      await sql`
        update public.credential_leases set retry_at = null, failed_at = null, settled_at = settled_at - interval '1 hour',
          expires_at = case when owner is not null then now() - interval '1 second' end`;
      await sql`delete from private.provider_pauses`;
      await deployment.scheduled();
      const [left] = await sql`
        select (select count(*)::int from public.pending_connections) as pending,
          (select count(*)::int from private.pending_revocations) as revocations,
          (select count(*)::int from public.credential_leases where journal is not null) as journals,
          (select count(*)::int from public.integrations
            where token_expires_at < now() + interval '10 seconds' and status not in ('reconnect_required', 'revoked')) as due`;
      if (Object.values(left).every((count) => count === 0)) return;
      this.left = left;
    }
    report.violation("everything settles once nothing fails any more", `nothing left after ${SETTLE_ROUNDS} runs of the schedule`, this.left);
  }

  async judge() {
    const { sql, report, ledger, users } = this;
    const rows = await sql`select * from public.integrations`;
    this.dataKeys = await sql`select * from private.data_keys`;
    const history = await this.#history();
    const stored = new Map();
    for (const row of rows) {
      const tokens = this.#tokens(row);
      const grant = tokens && ledger.byToken(tokens.refresh_token);
      if (!grant) {
        report.violation("a row holds what the provider gave out", `row ${row.id} opens and holds a known token`, tokens ? "an unknown one" : "it does not open");
        continue;
      }
      stored.set(grant, row);
      await this.#judgeRow(row, grant, tokens);
    }
    const queued = await this.#queued();
    for (const grant of ledger.grants) {
      if (stored.has(grant) || queued.has(grant) || !(await this.#lives(grant))) continue;
      this.#judgeOrphan(grant, history);
    }
    for (const { id, revoked, at } of users.flatMap(({ ends }) => ends)) {
      report.count(`disconnections answered ${JSON.stringify(revoked)}`);
      if (revoked !== true) continue;
      // Later the schedule may have revoked what the answer was wrong about.
      const last = history.get(id)?.last;
      const wasAsked = !last || last.withdrawn || last.revocationAnsweredAt <= at;
      report.require(wasAsked, "revoked: true is what the provider said", `row ${id}: the provider was asked before the answer`, "it was not");
      for (const grant of history.get(id)?.grants ?? []) {
        if (stored.has(grant)) continue;
        report.require(!(await this.#lives(grant)), "revoked: true is true", `every grant that row ${id} had is dead`, "one lives");
      }
    }
    const ended = new Set(users.flatMap(({ ends, tried }) => [...ends.map(({ id }) => id), ...tried]));
    for (const [id, { deleted }] of history) {
      report.require(!deleted || ended.has(id), "a row is deleted only for its user", `row ${id} is there`, "deleted");
    }
    report.count("grants judged", ledger.grants.length);
    report.count("rows judged", rows.length);
  }

  async #judgeRow(row, grant, tokens) {
    const { report, outages } = this;
    const isNewest = tokens.refresh_token === grant.newest.refresh;
    const works = isNewest && (await this.#lives(grant));
    const { id, status, status_reason: reason } = row;
    const trail = (await this.sql`
      select to_char(occurred_at at time zone 'UTC', 'HH24:MI:SS') || ' ' || concat_ws('/', action, outcome, reason) as said
      from public.credential_events where integration_id = ${id} order by id desc limit 12`).map(({ said }) => said);
    const what = `row ${id} of ${grant.owner?.name} (${status}, ${reason}; ${grant.tokens.length} tokens; ${trail.join(", ")})`;
    if (!OVER.includes(status)) {
      report.require(works, "a row with dead tokens does not say that it is active", `${what}: its tokens work`, "they do not");
      if (works) report.count("connections that work");
      return;
    }
    if (grant.withdrawn) return report.count("connections ended by their user at the provider");
    // Only what was never written can have been lost on its way: a row with the newest tokens was ended by somebody else.
    if (!isNewest && grant.newest.lost) return report.count("connections lost with an answer of the provider");
    const { from, until } = grant.redemptions.at(-1);
    const killed = outages.overlaps(from, Math.min(until, Date.now()) + IN_MEMORY_MS, ["kill"]);
    if (!isNewest && killed) return report.count("connections lost to a kill");
    report.violation("no connection is lost", `${what}, with ${isNewest ? "the newest tokens" : "older tokens"}, is alive: nobody ended it and no answer was lost`, works ? "its tokens work all the same" : "its tokens are dead");
  }

  #judgeOrphan(grant, history) {
    const { report, outages } = this;
    const [first] = grant.tokens;
    if (first.lost) return report.count("grants that never reached the worker");
    // An earlier answer was read; what came last of it nobody but the provider has.
    const held = [...history.values()].find(({ grants }) => grants.has(grant));
    if (held && grant.type === "supabase" && held.last !== grant) return report.count("earlier grants where nobody knows what a second one does");
    const killed = grant.redemptions.some(({ from, until }) => outages.overlaps(from, Math.min(until, Date.now()) + IN_MEMORY_MS, ["kill"]));
    if (killed && !held) return report.count("grants lost to a kill");
    const where = held ? "it stood in a row once" : "it never stood in a row";
    const when = new Date(grant.redemptions.at(-1).from).toISOString();
    report.violation("every grant is stored or revoked", `the ${grant.type} grant of ${grant.owner?.name} (last redeemed ${when}, ${grant.tokens.length} tokens, lost: ${grant.wasLost}) is dead`, `it lives; ${where}`);
  }

  /** By row: every grant that it ever held, and the last one. */
  async #history() {
    const history = new Map();
    for (const version of await this.sql`select * from chaos.versions order by seq`) {
      const entry = history.get(version.id) ?? { grants: new Set(), last: undefined, deleted: false };
      history.set(version.id, entry);
      entry.deleted = version.deleted;
      if (version.deleted) continue;
      const tokens = this.#tokens(version);
      const grant = tokens && this.ledger.byToken(tokens.refresh_token);
      if (!grant) continue;
      entry.grants.add(grant);
      entry.last = grant;
    }
    return history;
  }

  async #queued() {
    const rows = await this.sql`
      select sealed_for as id, organization_id, config from private.pending_revocations
      union all select id, organization_id, config from public.pending_connections
      union all select i.id, i.organization_id, l.journal from public.credential_leases l
        join public.integrations i on i.id = l.integration_id where l.journal is not null`;
    return new Set(rows.map((row) => this.ledger.byToken(this.#tokens(row)?.refresh_token)));
  }

  #tokens(row) {
    try {
      return openedWith(this.info, row, this.dataKeys.filter(({ organization_id }) => organization_id === row.organization_id));
    } catch {
      return undefined;
    }
  }

  /** Whether the authorization server takes the grant's newest refresh token (RFC 7662). */
  async #lives(grant) {
    const { client_id, client_secret } = this.deployment.clients[grant.type];
    const client = grant.type === "gitlab" ? { client_id, client_secret } : {};
    const basic = `Basic ${Buffer.from(`${client_id}:${client_secret}`).toString("base64")}`;
    const answer = await fetch(`${this.info.authorization_server_url}/introspection`, {
      method: "POST",
      headers: grant.type === "gitlab" ? {} : { authorization: basic },
      body: new URLSearchParams({ token: grant.newest.refresh, token_type_hint: "refresh_token", ...client }),
    });
    if (!answer.ok) throw new Error(`/introspection answered ${answer.status}: ${await answer.text()}`);
    return (await answer.json()).active;
  }
}
