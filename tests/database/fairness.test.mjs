// Fair shares of what the schedule does: no organization's backlog, nor its slow receivers, keeps another waiting. Threat model 106.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";

import { call, config, KID, startServer } from "./support.mjs";
import { endpointOf } from "./webhooks.mjs";

let server, project, owner, service;
before(async () => {
  server = await startServer();
  project = await server.createProject();
  ({ owner, service } = project);
});
after(() => server?.stop());
afterEach(async () => {
  await owner`delete from public.webhook_endpoints`;
  await owner`delete from public.integrations`;
});

/** Which organizations are in the list, and how often. */
const counts = (rows) => rows.reduce((all, { organization_id: id }) => all.set(id, (all.get(id) ?? 0) + 1), new Map());
/** Names organizations by their place in `organizations`. */
const names = (rows, organizations) => rows.map(({ organization_id }) => organizations.indexOf(organization_id));
const organizations = (count) => Array.from({ length: count }, () => randomUUID());

/** Inserts so many rows of an organization, due at `at` and a millisecond later each. */
function insertDue(organization, count, column, ago) {
  const at = column === "next_check_at" ? owner`, scan_schedule, next_check_at` : owner``;
  const due = owner`now() - ${ago}::interval + n * interval '1 millisecond'`;
  const stored = owner.json(config(KID.a));
  return column === "next_check_at"
    ? owner`
        insert into public.integrations (id, organization_id, integration_type, name, config ${at})
        select gen_random_uuid(), ${organization}::uuid, 'supabase', gen_random_uuid()::text, ${stored}, '0 * * * *', ${due}
        from generate_series(1, ${count}) n`
    : owner`
        insert into public.integrations (id, organization_id, integration_type, name, config)
        select gen_random_uuid(), ${organization}::uuid, 'supabase', gen_random_uuid()::text,
          ${stored}::jsonb || jsonb_build_object('expires_at', to_char((${due}) at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
        from generate_series(1, ${count}) n`;
}

const CLAIMS = {
  refreshes: {
    column: "token_expires_at",
    claim: (p_limit) => call(service, "claim_due_refreshes", { p_owner: randomUUID(), p_limit, p_within: 600, p_types: ["supabase"] }),
    look: (limit) => owner`select * from private.due_refreshes(${limit}, 600, array['supabase'])`,
  },
  checks: {
    column: "next_check_at",
    claim: (p_limit) => call(service, "claim_due_checks", { p_limit, p_types: ["supabase"], p_soon: 60 }),
    look: (limit) => owner`select * from private.due_checks(${limit}, array['supabase'])`,
  },
};

for (const [what, { column, claim, look }] of Object.entries(CLAIMS)) {
  describe(`a claim of ${what}`, () => {
    test(`a claim of ${what} takes organizations in turns, each with what is due longest`, async () => {
      const [a, b, c] = organizations(3);
      await insertDue(a, 20, column, "3 hours");
      await insertDue(b, 2, column, "2 hours");
      await insertDue(c, 1, column, "1 hour");
      const { claims } = await claim(8);
      assert.deepEqual(names(claims, [a, b, c]), [0, 1, 2, 0, 1, 0, 0, 0]);
      const due = await owner`select id, ${owner(column)} as due from public.integrations`;
      const ofA = claims.filter(({ organization_id }) => organization_id === a).map(({ id }) => due.find((row) => row.id === id).due.getTime());
      assert.deepEqual(ofA, due.map((row) => row.due.getTime()).sort((x, y) => x - y).slice(0, 5));
    });

    test(`a claim of ${what} finds an organization behind the backlogs of others, however large`, async () => {
      const large = organizations(12);
      const small = organizations(3);
      for (const [i, id] of large.entries()) await insertDue(id, 300, column, `${30 - i} hours`);
      for (const id of small) await insertDue(id, 1, column, "1 minute");
      const { claims } = await claim(20);
      const claimed = counts(claims);
      for (const id of small) assert.equal(claimed.get(id), 1, "each of the small ones is in the first claim");
      assert.ok([...claimed.values()].every((n) => n <= 2), "and nobody has more than two of twenty");
    });

    test(`a claim of ${what} gives everything to one organization where nobody else waits`, async () => {
      const [a] = organizations(1);
      await insertDue(a, 50, column, "1 hour");
      assert.equal((await claim(20)).claims.length, 20);
    });

    test(`a claim of ${what} looks at a bounded number of rows by its index`, async () => {
      const [a, b] = organizations(2);
      await insertDue(a, 30_000, column, "2 hours");
      await insertDue(b, 1, column, "1 minute");
      await owner.unsafe("vacuum (analyze) public.integrations");
      const rows = await look(20);
      assert.ok(rows.length <= 81, `${rows.length} rows`);
      const begun = Date.now();
      const { claims } = await claim(20);
      const took = Date.now() - begun;
      assert.equal(counts(claims).get(b), 1);
      assert.ok(took < 1000, `${took} ms`);
      const [{ scans }] = await owner`
        select coalesce(seq_scan, 0)::int as scans from pg_stat_user_tables where relname = 'integrations'`;
      await look(20);
      await owner`select pg_stat_force_next_flush()`;
      const [{ scans: later }] = await owner`
        select coalesce(seq_scan, 0)::int as scans from pg_stat_user_tables where relname = 'integrations'`;
      assert.equal(later, scans, "the table is not read from end to end");
    });
  });
}

describe("a claim of deliveries", () => {
  const endpoint = (organization = randomUUID()) => endpointOf(service, organization);
  /** Writes so many events, each of an integration of its own. */
  const happened = ({ organization }, count) => owner`
    select private.enqueue_event(${organization}, gen_random_uuid(), 'connection.refreshed', '{}') from generate_series(1, ${count})`;
  const claim = async (p_limit, over = {}) => {
    const p_owner = randomUUID();
    const { deliveries } = await call(service, "claim_webhook_deliveries", { p_owner, p_limit, ...over });
    return deliveries.map((delivery) => ({ ...delivery, owner: p_owner }));
  };
  const settle = ({ owner: p_owner, endpoint_id, event_id }, result) =>
    call(service, "settle_webhook_deliveries", { p_owner, p_results: service.json([{ endpoint_id, event_id, status: 200, ...result }]) });
  const known = async (made, took_ms) => {
    await happened(made, 1);
    const [first] = await claim(1);
    assert.equal(first.endpoint_id, made.id);
    await settle(first, { took_ms });
  };
  const rested = () => owner`update public.webhook_endpoints set rests_until = now()`;

  test("a claim of deliveries takes organizations in turns, and the endpoints of one in turns", async () => {
    const [a, b, c] = organizations(3);
    const [one, two] = [await endpoint(a), await endpoint(a)];
    await happened({ organization: a }, 5);
    await happened(await endpoint(b), 5);
    await happened(await endpoint(c), 1);
    const claimed = await claim(7);
    assert.deepEqual([...counts(claimed.slice(0, 3)).values()], [1, 1, 1]);
    assert.deepEqual([...counts(claimed.slice(3, 5)).keys()].sort(), [a, b].sort());
    const ofA = claimed.filter(({ organization_id }) => organization_id === a).map(({ endpoint_id }) => endpoint_id);
    assert.deepEqual(ofA.slice(0, 2).sort(), [one.id, two.id].sort());
  });

  test("a claim of deliveries gives a free lane to whoever has fewer in flight, whatever the age of the backlog", async () => {
    const [old, young] = [await endpoint(), await endpoint()];
    await happened(old, 50);
    assert.equal((await claim(4)).length, 4);
    await happened(young, 3);
    const next = [];
    for (let i = 0; i < 3; i++) next.push(...(await claim(1)));
    assert.deepEqual(next.map(({ endpoint_id }) => endpoint_id), [young.id, young.id, young.id]);
  });

  test("a claim of deliveries leaves an organization no more than twenty in flight, over all claims", async () => {
    const organization = randomUUID();
    for (let i = 0; i < 4; i++) await endpoint(organization);
    await happened({ organization }, 20);
    const first = await claim(15);
    assert.equal(first.length, 15);
    assert.equal((await claim(100)).length, 5);
    assert.equal((await claim(100)).length, 0);
    await settle(first[0], { took_ms: 5 });
    assert.equal((await claim(100)).length, 1);
  });

  test("a claim of deliveries takes no more of the slow and the new than it is asked to, and after the others", async () => {
    const [fast, slow, fresh] = [await endpoint(), await endpoint(), await endpoint()];
    await known(fast, 20);
    await known(slow, 9500);
    await rested();
    for (const made of [slow, fresh, fast]) await happened(made, 3);
    const claimed = await claim(100, { p_slow: 2 });
    assert.deepEqual(claimed.map(({ endpoint_id }) => endpoint_id), [fast.id, fast.id, fast.id, fresh.id, slow.id]);
    assert.deepEqual(claimed.map(({ slow: isSlow }) => isSlow), [false, false, false, true, true]);
    assert.deepEqual(await claim(100, { p_slow: 0 }), []);
  });

  test("a claim of deliveries sends a slow endpoint one at a time, with a rest as long as its answer took", async () => {
    const slow = await endpoint();
    await known(slow, 9500);
    await happened(slow, 3);
    assert.deepEqual(await claim(10), [], "it rests");
    const [{ rests }] = await owner`select extract(epoch from rests_until - now())::float as rests from public.webhook_endpoints`;
    assert.ok(rests > 8 && rests <= 9.5, `${rests} s`);
    await rested();
    assert.equal((await claim(10)).length, 1);
    assert.equal((await claim(10)).length, 0);
  });

  test("a claim of deliveries trusts a slow endpoint again after a quarter of an hour, and not after one fast answer", async () => {
    const slow = await endpoint();
    await known(slow, 2000);
    await rested();
    await known(slow, 10);
    await happened(slow, 3);
    assert.equal((await claim(10)).length, 1);
    await owner`update public.webhook_endpoints set slow_until = now()`;
    assert.deepEqual((await claim(10)).map(({ slow: isSlow }) => isSlow), [false, false]);
  });

  test("a claim of deliveries takes a changed url for a new endpoint", async () => {
    const made = await endpoint();
    await known(made, 10);
    const changes = { p_id: made.id, p_user_id: made.user, p_changes: service.json({ url: "https://other.example.com/" }) };
    assert.equal((await call(service, "change_webhook_endpoint", changes)).outcome, "changed");
    await happened(made, 1);
    assert.deepEqual((await claim(1)).map(({ slow }) => slow), [true]);
  });

  test("a fast rejection does not make an endpoint fast", async () => {
    const made = await endpoint();
    await happened(made, 2);
    const [first] = await claim(1);
    await settle(first, { status: 500, error: "status", took_ms: 5 });
    const [{ isnew }] = await owner`select slow_until = 'infinity' as isnew from public.webhook_endpoints where id = ${made.id}`;
    assert.equal(isnew, true);
  });

  test("a claim of deliveries uses the indexes, past many endpoints and a long backlog", async () => {
    const mine = await endpoint();
    await known(mine, 10);
    const backlog = await endpoint();
    const integration = randomUUID();
    await owner`
      select private.enqueue_event(${backlog.organization}, ${integration}, 'connection.refreshed', '{}') from generate_series(1, 5000)`;
    await owner`
      insert into public.webhook_endpoints (id, organization_id, url, config)
      select gen_random_uuid(), gen_random_uuid(), 'https://receiver.example.com', '{}' from generate_series(1, 20000)`;
    await happened(mine, 1);
    await owner.unsafe("vacuum (analyze) public.webhook_endpoints, public.webhook_deliveries");
    await claim(1);
    const begun = Date.now();
    const claimed = await claim(5);
    const took = Date.now() - begun;
    assert.deepEqual(claimed.map(({ endpoint_id }) => endpoint_id), [backlog.id]);
    assert.ok(took < 500, `${took} ms`);
  });
});
