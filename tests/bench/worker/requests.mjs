// How many requests an operation costs upstream: each is a round trip that the user waits for. Counted on the real stack.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

import { startStack } from "../../stack/stack.mjs";
import { BrowserSession } from "../../support/browser-session.mjs";
import { startProxy } from "../../support/proxy.mjs";
import { startWorker } from "../../support/worker.mjs";

const APP_URL = "http://localhost:3000";
/** At the stack's authorization server, a login whose projects are one. */
const LOGIN = "demo";

/** `{ list, begin, callback, disconnect }`, the worker's keys being in its cache. */
export async function countRequests(log) {
  const dir = mkdtempSync(path.join(tmpdir(), "bench-stack-"));
  const stops = [() => rmSync(dir, { recursive: true, force: true })];
  try {
    log("counting requests on the real stack");
    const stack = await startStack({ dir, appUrl: APP_URL, onExit: (error) => log(error.message) });
    stops.push(stack.stop);
    const started = async (thing) => {
      stops.push(thing.stop);
      return thing;
    };
    const supabase = await started(await startProxy(stack.info.supabase_url));
    const provider = await started(await startProxy(stack.info.authorization_server_url));
    const info = { ...stack.info, supabase_url: supabase.url };
    const worker = await started(await startWorker(info, { SUPABASE_BASE_URL: provider.url }));
    return await count(worker, [supabase, provider]);
  } finally {
    for (const stop of stops.reverse()) await stop();
  }
}

async function count(worker, proxies) {
  const browser = await BrowserSession.signedUp(worker);
  const total = () => proxies.reduce((sum, { requests }) => sum + requests.length, 0);
  const during = async (operation) => {
    const before = total();
    return [await operation(), total() - before];
  };
  // Fetches the keys.
  (await browser.get("/api/integrations")).expect(200);
  const [, list] = await during(async () => (await browser.get("/api/integrations")).expect(200));
  const [, begin] = await during(() => browser.begin());
  const callbackUrl = await browser.consent(LOGIN);
  const [answer, callback] = await during(async () => (await browser.get(callbackUrl)).expect(303));
  const id = new URL(answer.location, worker.url).searchParams.get("connected");
  const [, disconnect] = await during(async () => (await browser.delete(`/api/integrations/${id}`)).expect(200));
  return { list, begin, callback, disconnect };
}
