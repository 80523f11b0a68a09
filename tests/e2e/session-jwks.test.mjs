// The project's public keys: fetched once for many, and never because somebody made a key id up.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { afterEach, describe, it } from "node:test";

import { bearer, call } from "../support/caller.mjs";
import { answer, held } from "../support/faults.mjs";
import { logOnFailure } from "../support/log-on-failure.mjs";
import { startProxy } from "../support/proxy.mjs";
import { stack } from "../support/stack.mjs";
import { signES256, userClaims } from "../support/tokens.mjs";
import { signUp } from "../support/users.mjs";
import { until } from "../support/wait.mjs";
import { startWorker } from "../support/worker.mjs";

const JWKS = "/auth/v1/.well-known/jwks.json";
const LIST = "/api/integrations";
const COOL_DOWN_MS = 30_000;
const BATCH = 100;

describe("public keys", { concurrency: true }, () => {
  const info = stack();
  let newest;
  afterEach(logOnFailure(() => newest));

  /** A worker that has fetched nothing yet, behind a proxy that counts. */
  async function fixture(t) {
    const gateway = await startProxy(info.supabase_url);
    t.after(() => gateway.stop());
    const worker = await startWorker({ ...info, supabase_url: gateway.url });
    t.after(() => worker.stop());
    newest = worker;
    const user = await signUp(worker.info);
    const list = (token = user.access_token) => call(worker, "GET", LIST, { headers: bearer(token) });
    return { gateway, user, list, info: worker.info };
  }

  // Threat model 15.
  it("1,000 tokens with unknown kids make at most one JWKS request a cool-down", async (t) => {
    const { gateway, user, list, info } = await fixture(t);
    const claims = userClaims(info, user);
    const begun = Date.now();
    for (let sent = 0; sent < 1000; sent += BATCH) {
      const tokens = await Promise.all(Array.from({ length: BATCH }, () => signES256(info, claims, { kid: randomUUID() })));
      for (const refused of await Promise.all(tokens.map((token) => list(token)))) refused.expect(401, "unauthorized");
    }
    const allowed = 1 + Math.floor((Date.now() - begun) / COOL_DOWN_MS);
    const fetched = gateway.count(JWKS);
    assert.ok(fetched >= 1 && fetched <= allowed, `expected 1 to ${allowed} JWKS requests, got ${fetched}`);
    (await list()).expect(200);
    assert.ok(gateway.count(JWKS) <= 1 + Math.floor((Date.now() - begun) / COOL_DOWN_MS), "who is known needs no further request");
  });

  // Threat model 15.
  it("requests during a JWKS request wait for it, and are accepted", async (t) => {
    const { gateway, list } = await fixture(t);
    const keys = held();
    gateway.fault(JWKS, keys.behaviour);
    const answers = Array.from({ length: 30 }, () => list());
    await keys.arrived;
    keys.release();
    for (const listed of await Promise.all(answers)) listed.expect(200);
    assert.equal(gateway.count(JWKS), 1);
  });

  // Threat model 31.
  it("requests without public keys are answered 503 instead of 401, and the next ones are accepted", async (t) => {
    const { gateway, list } = await fixture(t);
    const restore = gateway.fault(JWKS, answer(500, "down"));
    (await list()).expect(503, "upstream_unavailable");
    restore();
    await until("the keys are asked for again", async () => {
      const listed = await list();
      if (listed.status === 200) return true;
      listed.expect(503, "upstream_unavailable");
    });
    assert.ok(gateway.count(JWKS) <= 3, `a project that is down is not stormed: ${gateway.count(JWKS)} requests`);
  });
});
