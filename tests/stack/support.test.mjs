// The helpers that other tests rely on do what they say: otherwise a test of a fault would prove nothing.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { CookieJar } from "../support/cookies.mjs";
import { answer, cut, drop, first, flood, held, late, never, redirect } from "../support/faults.mjs";
import { startProxy } from "../support/proxy.mjs";
import { stack } from "../support/stack.mjs";
import { startWorker } from "../support/worker.mjs";
import { TEMPLATES } from "./cluster-template.mjs";
import { listen } from "./listen.mjs";

const info = stack();
const target = createServer(async (request, response) => {
  let body = "";
  for await (const chunk of request) body += chunk;
  response.setHeader("set-cookie", ["a=1; Path=/", "b=2; Path=/deep; Max-Age=60", "c=3; Path=/; Max-Age=0"]);
  response.end(JSON.stringify({ host: request.headers.host, cookie: request.headers.cookie, body }));
});
let targetUrl;
let proxy;

before(async () => (targetUrl = await listen(target)));
after(() => target.close());
beforeEach(async () => (proxy = await startProxy(targetUrl)));
afterEach(() => proxy.stop());

test("the proxy records what it passes on, and passes on what came", async () => {
  const response = await fetch(`${proxy.url}/path?query=1`, { method: "POST", body: "sent", headers: { "x-test": "yes" } });
  const { host, body } = await response.json();
  assert.equal(host, new URL(proxy.url).host);
  assert.equal(body, "sent");
  assert.equal(response.headers.getSetCookie().length, 3);
  const [{ method, path, headers, body: recorded }] = proxy.requests;
  assert.deepEqual([method, path, headers["x-test"], recorded], ["POST", "/path?query=1", "yes", "sent"]);
  assert.equal(proxy.count("/path"), 1);
  assert.equal(proxy.count(/^POST \/path/), 1);
  assert.equal(proxy.count(({ body }) => body === "other"), 0);
});

test("a fault is for what matches, the newest first, until it is taken back", async () => {
  const status = async () => (await fetch(`${proxy.url}/x`)).status;
  const lift = proxy.fault("/x", answer(500, { message: "no" }));
  assert.equal((await fetch(`${proxy.url}/y`)).status, 200);
  assert.equal(await status(), 500);
  const liftNewer = proxy.fault(/^GET \/x/, answer(409));
  assert.equal(await status(), 409);
  liftNewer();
  assert.equal(await status(), 500);
  lift();
  assert.equal(await status(), 200);
  proxy.fault("/x", first(2, answer(503)));
  assert.deepEqual([await status(), await status(), await status()], [503, 503, 200]);
});

test("never, drop and cut end without a whole answer", async () => {
  const read = async () => (await fetch(`${proxy.url}/x`, { signal: AbortSignal.timeout(200) })).text();
  proxy.fault("/x", never());
  await assert.rejects(read(), { name: "TimeoutError" });
  proxy.fault("/x", drop());
  await assert.rejects(read(), { name: "TypeError" });
  proxy.fault("/x", cut());
  const response = await fetch(`${proxy.url}/x`);
  assert.equal(response.status, 200);
  await assert.rejects(response.text());
});

test("late and held answers come in the end", async () => {
  proxy.fault("/late", late(50));
  const begun = performance.now();
  assert.equal((await fetch(`${proxy.url}/late`)).status, 200);
  assert.ok(performance.now() - begun >= 49);

  const { behaviour, arrived, release } = held();
  proxy.fault("/held", behaviour);
  const response = fetch(`${proxy.url}/held`);
  assert.equal((await arrived).path, "/held");
  release();
  assert.equal((await response).status, 200);
});

test("a flood is as long as it says, a redirect keeps the method", async () => {
  proxy.fault("/flood", flood());
  const text = await (await fetch(`${proxy.url}/flood`)).text();
  assert.ok(text.length > 10 * 1024 * 1024);
  assert.deepEqual(JSON.parse(text), {});
  proxy.fault("/old", redirect(`${targetUrl}/new`));
  const { body } = await (await fetch(`${proxy.url}/old`, { method: "POST", body: "again" })).json();
  assert.equal(body, "again");
});

test("a cookie jar keeps to hosts, paths and lifetimes", async () => {
  const jar = new CookieJar();
  const cookies = async (where) => (await (await jar.fetch(`${targetUrl}${where}`)).json()).cookie;
  assert.equal(await cookies("/"), undefined);
  assert.equal(await cookies("/"), "a=1");
  assert.equal(await cookies("/deep/er"), "a=1; b=2");
  assert.equal(await cookies("/deeper"), "a=1");
  assert.equal(jar.header("http://localhost/"), undefined);
  assert.equal(jar.get("c"), undefined);
});

test("a worker runs with its settings and its own client, and its console is heard", async () => {
  const build = mkdtempSync(path.join(tmpdir(), "worker-"));
  writeFileSync(path.join(build, "part.wasm"), Buffer.from("0061736d01000000", "hex"));
  writeFileSync(
    path.join(build, "index.js"),
    `import part from "./part.wasm";
    export default { fetch(request, env) {
      console.error("asked for", new URL(request.url).pathname);
      return Response.json({ env, isModule: part instanceof WebAssembly.Module });
    } };`,
  );
  const worker = await startWorker(info, { ENCRYPTION_KEY: undefined, FALLBACK_ENCRYPTION_KEYS: "a" }, { build });
  try {
    const { env, isModule } = await (await fetch(`${worker.url}/path`)).json();
    assert.equal(isModule, true);
    assert.equal(env.APP_URL, worker.url);
    assert.equal(env.ENCRYPTION_KEY, undefined);
    assert.equal(env.FALLBACK_ENCRYPTION_KEYS, "a");
    assert.notEqual(env.SUPABASE_CLIENT_ID, info.client_id);
    assert.equal(env.SUPABASE_CLIENT_ID, worker.info.client_id);
    assert.equal(await worker.logged(/asked for/), "asked for /path");
    assert.deepEqual(worker.logs(), [{ level: "error", message: "asked for /path" }]);
  } finally {
    await worker.stop();
    rmSync(build, { recursive: true });
  }
});

test("the templates of clusters are outside of the cluster of `cargo xtask dev`, which empties its folder at each start", () => {
  const cluster = fileURLToPath(new URL("../../.dev/postgres", import.meta.url));
  assert.ok(path.relative(cluster, TEMPLATES).startsWith(".."), TEMPLATES);
});
