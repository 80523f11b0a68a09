// How long a program waits for a live credential, beside a user's list. Measured on the real stack, where a read of a credential authenticates the
// service key, opens the row and writes an event.
import { operatorsProgram } from "../../support/service-keys.mjs";
import { signUp } from "../../support/users.mjs";
import { startWorker } from "../../support/worker.mjs";
import { credentialRow } from "../refresh/rows.mjs";
import { withStack } from "../setting.mjs";
import { load } from "./load.mjs";
import { summarize } from "./summarize.mjs";

const CONNECTIONS_OF_ORGANIZATION = 20;
const LIFETIME_S = 3600;

/** `{ list, credential, ratio }`: medians of the rounds, and the median of the rounds' ratios (credential to list). */
export function compareReads({ rounds, seconds, connections, log }) {
  return withStack("bench-reads", log, async ({ info, sql, started }) => {
    const worker = await started(startWorker(info));
    const user = await signUp(info);
    const key = Buffer.from(info.encryption_key, "base64");
    const rows = Array.from({ length: CONNECTIONS_OF_ORGANIZATION }, () => credentialRow(key, { organization_id: user.id, lifetime: LIFETIME_S }));
    await sql`insert into public.integrations ${sql(rows)}`;
    const requests = {
      list: [{ method: "GET", path: "/api/integrations" }],
      credential: rows.map(({ id }) => ({ method: "POST", path: `/api/integrations/${id}/credential`, body: "{}" })),
    };
    const names = Object.keys(requests);
    const measure = async (name, length) => {
      // A key may be used 6,400 times a minute: each run has its own.
      const token = name === "list" ? user.access_token : (await operatorsProgram(sql, worker, "connections:credentials")).key;
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
      return load({ url: worker.url, requests: requests[name], headers, connections, seconds: length });
    };
    for (const name of names) await measure(name, 1);
    const runs = [];
    for (let round = 0; round < rounds; round++) {
      log(`reads: round ${round + 1} of ${rounds}`);
      const run = {};
      for (const name of round % 2 ? names.toReversed() : names) {
        const { requests, seconds: took, p50, p99 } = await measure(name, seconds);
        run[name] = { requests_per_second: requests / took, p50_ms: p50, p99_ms: p99 };
      }
      runs.push(run);
    }
    return summarize(runs, { base: "list", other: "credential" });
  });
}
