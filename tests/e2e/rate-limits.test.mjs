// A user who writes without end is slowed down, on every route that writes. Threat model 107.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { workerFixture } from "../support/worker-fixture.mjs";

describe("a user's writes", { concurrency: true }, () => {
  const fixture = workerFixture();
  let sql, worker;
  before(() => void ({ sql, worker } = fixture));

  it("of 400 renames in a row at most 120 are made, and the others are told how long to wait", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const id = await browser.connect(`renamed-${randomUUID()}`);
    const answers = await Promise.all(
      Array.from({ length: 400 }, (_, n) => browser.patch(`/api/integrations/${id}`, { name: `Name ${n}` })),
    );
    const made = answers.filter(({ status }) => status === 200);
    const refused = answers.filter(({ status }) => status === 429);
    assert.equal(made.length + refused.length, 400);
    assert.ok(made.length > 100 && made.length <= 120, `${made.length} were made`);
    for (const answer of refused) {
      answer.expect(429, "too_many_requests");
      const seconds = Number(answer.headers.get("retry-after"));
      assert.ok(seconds >= 1 && seconds <= 60, `${seconds} s`);
    }
    const [{ events }] = await sql`
      select count(*)::int as events from public.credential_events where integration_id = ${id} and action = 'renamed'`;
    assert.equal(events, made.length);
  });

  it("a rate limit rejects a user's writes on every route, and neither reads nor signing out", async () => {
    const browser = await BrowserSession.signedIn(worker);
    const id = await browser.connect(`limited-${randomUUID()}`);
    const other = randomUUID();
    await sql`
      insert into private.rate_limits (kind, subject, attempts, ends_at, blocked_until)
      values ('writes in a minute', ${browser.user.id}, 120, now() + interval '1 minute', now() + interval '1 minute')
      on conflict (kind, subject) do update set blocked_until = excluded.blocked_until, ends_at = excluded.ends_at`;
    const writes = [
      ["post", "/api/auth/authorize", { integration_type: "supabase" }],
      ["post", `/api/connections/${other}`, { account_id: "x" }],
      ["delete", `/api/connections/${other}`],
      ["post", "/api/integrations", { integration_type: "auth0", fields: {} }],
      ["patch", `/api/integrations/${id}`, { name: "x" }],
      ["put", `/api/integrations/${id}/credentials`, { fields: {} }],
      ["delete", `/api/integrations/${id}`],
      ["post", `/api/integrations/${id}/refresh`, {}],
      ["post", `/api/integrations/${id}/check`, {}],
      ["post", `/api/integrations/${id}/reconnect`, {}],
      ["post", "/api/webhooks", { url: "https://receiver.example.com" }],
      ["patch", `/api/webhooks/${other}`, { enabled: false }],
      ["delete", `/api/webhooks/${other}`],
      ["post", `/api/webhooks/${other}/secret`, {}],
      ["post", `/api/webhooks/${other}/deliveries/${other}/replay`, {}],
    ];
    for (const [method, path, body] of writes) (await browser[method](path, body)).expect(429, "too_many_requests");
    for (const path of ["/api/session", "/api/integrations", `/api/integrations/${id}`, `/api/integrations/${id}/events`, "/api/webhooks"]) {
      (await browser.get(path)).expect(200);
    }
    (await browser.delete("/api/session")).expect(200);
  });
});
