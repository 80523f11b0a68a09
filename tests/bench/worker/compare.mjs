// Both workers under the same load, in turns: whatever else the machine does meanwhile hits both.
import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";

import { createProjectKeys } from "../../stack/keys.mjs";
import { workerSettings } from "../../stack/settings.mjs";
import { signES256, signHS256, userClaims } from "../../support/tokens.mjs";
import { modulesOf } from "../../support/worker.mjs";
import { load } from "./load.mjs";
import { summarize } from "./summarize.mjs";
import { startUpstream } from "./upstream.mjs";
import { startWorkerd } from "./workerd.mjs";

const NAMES = ["plain", "edge"];
const SIDES = { base: "plain", other: "edge" };
const STARTS = 7;
const WARM_UP_S = 1;

/**
 * Returns `{ start_ms: { plain, edge, ratio }, routes: [{ name, plain, edge, ratio }] }`: a worker's figures are medians over
 * the rounds, a ratio is the median of the rounds' ratios (edge to plain), the two sides of which ran one after the other.
 */
export async function compare(builds, { rounds, seconds, rows, connections, log }) {
  const keys = await createProjectKeys();
  const upstream = await startUpstream({ rows, verificationKey: keys.verificationKey });
  const started = [];
  try {
    const { bindings, routes } = await fixture(keys, upstream);
    const start = (name) => {
      const { root, modules = modulesOf(root) } = builds[name];
      return startWorkerd({ name, root, modules, bindings });
    };
    log("starting each worker in turn");
    const start_ms = await measureStarts(start);

    const workers = {};
    for (const name of NAMES) started.push((workers[name] = await start(name)));
    for (const route of routes) {
      await requireSame(workers, upstream, route);
      for (const name of NAMES) await load({ ...at(workers[name], route), connections, seconds: WARM_UP_S });
    }
    const measured = routes.map((route) => ({ route, runs: [] }));
    for (let round = 0; round < rounds; round++) {
      for (const { route, runs } of measured) {
        log(`round ${round + 1} of ${rounds}: ${route.name}`);
        const run = {};
        // Who goes first changes from round to round.
        for (const name of round % 2 ? NAMES.toReversed() : NAMES) {
          run[name] = await measure(workers[name], route, { connections, seconds });
        }
        runs.push(run);
      }
    }
    return { start_ms, routes: measured.map(({ route, runs }) => ({ name: route.name, ...summarize(runs, SIDES) })) };
  } finally {
    for (const worker of started) await worker.stop();
    await upstream.stop();
  }
}

/** The settings of both workers, and what is asked of them. */
async function fixture(keys, upstream) {
  const info = {
    app_url: "http://localhost:3000",
    supabase_url: upstream.url,
    publishable_key: keys.publishableKey,
    secret_key: keys.secretKey,
    jwt_secret: keys.jwtSecret,
    jwks_private_key: keys.signingKey,
    client_id: randomUUID(),
    client_secret: randomBytes(24).toString("base64url"),
    authorization_server_url: upstream.url,
    encryption_key: randomBytes(32).toString("base64"),
  };
  const claims = userClaims(info, { id: randomUUID(), email: "somebody@example.com" });
  const bearer = async (token) => ({ authorization: `Bearer ${await token}` });
  const routes = [
    { name: "GET /health", path: "/health", headers: {} },
    { name: "list, ES256", path: "/api/integrations", headers: await bearer(signES256(info, claims)), asks: true },
    { name: "list, HS256", path: "/api/integrations", headers: await bearer(signHS256(info, claims)), asks: true },
  ];
  return { bindings: workerSettings(info), routes };
}

function at(worker, { path, headers }) {
  return { url: worker.url + path, headers };
}

/** Two workers that do not do the same cannot be compared. */
async function requireSame(workers, upstream, route) {
  const seen = {};
  for (const name of NAMES) {
    const { url, headers } = at(workers[name], route);
    const response = await fetch(url, { headers });
    const { date: _, ...answered } = Object.fromEntries(response.headers);
    seen[name] = { status: response.status, headers: answered, body: await response.text(), ...(route.asks && { asked: upstream.last() }) };
  }
  assert.deepEqual(seen.edge, seen.plain, `${route.name}: the workers answer or ask differently`);
  assert.equal(seen.edge.status, 200, `${route.name}: ${seen.edge.body}`);
}

async function measure(worker, route, { connections, seconds }) {
  const before = worker.cpuSeconds();
  const run = await load({ ...at(worker, route), connections, seconds });
  const cpu = worker.cpuSeconds();
  return {
    requests_per_second: run.requests / run.seconds,
    p50_ms: run.p50,
    p99_ms: run.p99,
    // Unlike the others it hardly depends on what else the machine does.
    ...(cpu !== undefined && { cpu_us_per_request: ((cpu - before) / run.requests) * 1e6 }),
  };
}

/** Milliseconds from the start of the process to its first answer. */
async function measureStarts(start) {
  const runs = [];
  for (let i = 0; i < STARTS; i++) {
    const run = {};
    for (const name of i % 2 ? NAMES.toReversed() : NAMES) {
      const begun = performance.now();
      const worker = await start(name);
      try {
        await (await fetch(`${worker.url}/health`)).text();
        run[name] = performance.now() - begun;
      } finally {
        await worker.stop();
      }
    }
    runs.push({ plain: { ms: run.plain }, edge: { ms: run.edge } });
  }
  const { plain, edge, ratio } = summarize(runs, SIDES);
  return { plain: plain.ms, edge: edge.ms, ratio: ratio.ms };
}
