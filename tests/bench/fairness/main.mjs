// The bench of fair shares: how long an event takes to its receiver while the receivers of three other organizations, ten each, answer
// slowly and have a backlog, beside how long it takes without them.
//
//     node_modules/.bin/node tests/bench/fairness/main.mjs [--json] [--seconds 60] [--interval 10] [--answer 9500] [--queue]
//
// The schedule runs every `interval` seconds, whether the run before has ended or not, as Cloudflare's does every sixty. An event of the
// measured organization happens twice a second, and its time is that from the write to the arrival. `cargo xtask bench fairness` builds the
// worker, then runs this. It judges nothing: only an error is a failure.
import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

import { BrowserSession } from "../../support/browser-session.mjs";
import { startReceiver } from "../../support/receiver.mjs";
import { startWorker } from "../../support/worker.mjs";
import { parseOptions } from "../options.mjs";
import { withStack } from "../setting.mjs";

const LIMITS = { seconds: 3600, interval: 60, answer: 60_000 };
const ORGANIZATIONS = 3;
const ENDPOINTS = 10;
/** What waits for each slow endpoint, of as many integrations. */
const BACKLOG = 200;
const EVERY_MS = 500;

const options = parseOptions(
  {
    seconds: { type: "string", default: "60" },
    interval: { type: "string", default: "10" },
    answer: { type: "string", default: "9500" },
    queue: { type: "boolean", default: false },
  },
  LIMITS,
);
const log = (line) => console.error(line);
const result = await measure(options);
console.log(options.json ? JSON.stringify(result, null, 2) : show(result));

function measure({ seconds, interval, answer, queue }) {
  return withStack("bench-fairness", log, async ({ info, sql, started }) => {
    const worker = await started(startWorker(info, {}, { queue }));
    const [fast, slow] = [await started(startReceiver()), await started(startReceiver())];
    slow.answer(async (_, response) => {
      await delay(answer);
      response.writeHead(204).end();
    });

    const measured = await owner(worker, fast.url, 1);
    log(`the baseline: ${seconds} s`);
    const baseline = await times({ sql, worker, fast, organization: measured, seconds, interval });
    for (let n = 0; n < ORGANIZATIONS; n++) {
      const organization = await owner(worker, slow.url, ENDPOINTS);
      await sql`select private.enqueue_event(${organization}, gen_random_uuid(), 'connection.refreshed', '{}') from generate_series(1, ${BACKLOG})`;
    }
    log(`beside ${ORGANIZATIONS * ENDPOINTS} receivers that answer after ${answer} ms: ${seconds} s`);
    const load = await times({ sql, worker, fast, organization: measured, seconds, interval });
    const [{ left }] = await sql`select count(*)::int as left from public.webhook_deliveries where state = 'pending'`;
    if (left === 0) throw new Error("the backlog came to its end before the measurement did");
    return {
      settings: { seconds, interval, answer, queue },
      baseline, load, ratio: load.median / baseline.median, slow: slow.requests.length,
    };
  });
}

/** A user with so many webhooks: the organization's id. */
async function owner(worker, url, count) {
  const browser = await BrowserSession.signedIn(worker);
  for (let n = 0; n < count; n++) (await browser.post("/api/webhooks", { url: `${url}&n=${n}` })).expect(201);
  return browser.user.id;
}

/** How long the organization's events took, in seconds. */
async function times({ sql, worker, fast, organization, seconds, interval }) {
  fast.requests.length = 0;
  const happened = new Map();
  const runs = [];
  const end = Date.now() + seconds * 1000;
  const schedule = setInterval(() => runs.push(worker.scheduled()), interval * 1000);
  try {
    while (Date.now() < end) {
      const integration = randomUUID();
      happened.set(integration, Date.now());
      const data = { integration_id: integration };
      await sql`select private.enqueue_event(${organization}, ${integration}, 'connection.refreshed', ${sql.json(data)})`;
      await delay(EVERY_MS);
    }
    const arrived = () => new Map(fast.requests.map(({ body, at }) => [JSON.parse(body).data.integration_id, at]));
    const deadline = Date.now() + 600_000;
    while (arrived().size < happened.size) {
      if (Date.now() > deadline) throw new Error(`${happened.size - arrived().size} of ${happened.size} events did not arrive within ten minutes`);
      await delay(100);
    }
    const at = arrived();
    const took = [...happened].map(([integration, since]) => (at.get(integration) - since) / 1000).sort((a, b) => a - b);
    return { events: took.length, median: took[Math.floor(took.length / 2)], p95: took[Math.floor(took.length * 0.95)], longest: took.at(-1) };
  } finally {
    clearInterval(schedule);
    await Promise.all(runs);
  }
}

function show({ settings: { seconds, interval, answer, queue }, baseline, load, ratio, slow }) {
  const line = (name, { events, median, p95, longest }) =>
    `${name.padEnd(14)}${median.toFixed(1).padStart(7)} s median ${p95.toFixed(1).padStart(7)} s p95 ${longest.toFixed(1).padStart(7)} s longest, ${events} events`;
  return [
    `events of one organization for ${seconds} s, a run of the schedule every ${interval} s${queue ? " and what the queue shares out" : ""}`,
    "",
    line("alone", baseline),
    line("under load", load),
    `ratio         ${ratio.toFixed(2).padStart(7)}`,
    "",
    `the load: ${ORGANIZATIONS} organizations with ${ENDPOINTS} receivers each that answer after ${answer} ms; ${slow} of their deliveries were sent`,
  ].join("\n");
}
