// The built worker on workerd, one instance a test file, each with a client of its own at the authorization server.
import { EventEmitter, once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

import { freePort, LOOPBACK } from "../stack/listen.mjs";
import { workerSettings } from "../stack/settings.mjs";
import { registerClient } from "./clients.mjs";

// Required, not imported: Node then need not look for the exports of its six megabytes.
const { convertV4MiniflareOptions, Miniflare } = createRequire(import.meta.url)("miniflare");

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CALLBACKS = ["/api/auth/callback", "/api/auth/callback/supabase"];
const LOG_TIMEOUT_MS = 5000;
const QUEUE = {
  queueProducers: { WORK_QUEUE: { queueName: "work" } },
  queueConsumers: { work: { maxBatchSize: 1, maxBatchTimeout: 0, maxRetries: 0 } },
};
/** What wrangler.toml says under `[assets]`, as Miniflare takes it; tests/stack/deployment.test.mjs holds the two together. */
export const ASSETS = {
  directory: path.join(ROOT, "worker/public"),
  run_worker_first: ["/api/*", "/health"],
  routerConfig: { has_user_worker: true, static_routing: { asset_worker: [], user_worker: ["/api/*", "/health"] } },
  assetConfig: { html_handling: "auto-trailing-slash", not_found_handling: "none" },
};
/** Which files of a build are modules, and of what kind. */
const MODULE_TYPES = { ".js": "ESModule", ".mjs": "ESModule", ".wasm": "CompiledWasm" };

/**
 * Starts the worker. `bindings` override its settings; one that is undefined is left unset; as a function they get `info`. `build` is another folder
 * with a worker (index.js and the modules beside it). `queue` gives it the queue of its own that wrangler.toml speaks of.
 *
 * Returns `{ url, info, logs(), logged(), scheduled(), stop() }`: `info` is the stack's as this worker sees it (its URL and its client), and
 * `logs()` all that it wrote to the console so far: `[{ level, message }]`. An answer may overtake what was logged before
 * it: `logged(pattern)` waits for a message that matches, and returns it. `scheduled()` runs the schedule once, as the clock would.
 */
export async function startWorker(info, bindings = {}, { build = path.join(ROOT, "worker/build"), queue = false } = {}) {
  const port = await freePort();
  // Another host than the authorization server's: for a browser they are two sites, as in production.
  const url = `http://localhost:${port}`;
  const client = await registerClient(info, CALLBACKS.map((callback) => url + callback));
  const own = { ...info, ...client, app_url: url };
  const settings = Object.entries({ ...workerSettings(own), ...(typeof bindings === "function" ? bindings(own) : bindings) }).filter(([, value]) => value !== undefined);

  const running = await startModules({
    name: "edge",
    build,
    bindings: settings,
    port,
    options: { assets: ASSETS, ...(queue && QUEUE) },
  });
  return { url, info: own, ...running };
}

/**
 * Starts a built worker on workerd: `{ logs(), logged(), scheduled(), stop() }`, as `startWorker` says, and `queued(body)`, which puts a message on
 * its queue. `bindings` are pairs, `options` further ones of Miniflare.
 */
export async function startModules({ name, build, bindings, port = 0, options = {} }) {
  const logs = [];
  const arrivals = new EventEmitter();
  const logged = async (pattern) => {
    const find = () => logs.find(({ message }) => pattern.test(message))?.message;
    const signal = AbortSignal.timeout(LOG_TIMEOUT_MS);
    while (find() === undefined) await once(arrivals, "log", { signal });
    return find();
  };
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({
      host: LOOPBACK,
      port,
      cf: false,
      name,
      compatibilityDate: compatibilityDate(),
      modulesRoot: build,
      modules: modulesOf(build),
      bindings: Object.fromEntries(bindings),
      ...options,
      handleStructuredLogs: ({ level, message }) => {
        logs.push({ level, message });
        arrivals.emit("log");
      },
    }),
  );
  try {
    await miniflare.ready;
  } catch (error) {
    await miniflare.dispose();
    throw error;
  }
  const scheduled = async () => {
    const { outcome } = await (await miniflare.getWorker()).scheduled({ cron: "* * * * *" });
    if (outcome !== "ok") throw new Error(`the scheduled run ended with ${outcome}`);
  };
  const queued = async (body) => (await miniflare.getQueueProducer("WORK_QUEUE")).send(body, { contentType: "text" });
  let stopped;
  const stop = () => (stopped ??= miniflare.dispose());
  return { logs: () => [...logs], logged, scheduled, queued, stop };
}

/** As deployed: the runtime's behaviour depends on it. */
export function compatibilityDate() {
  const config = readFileSync(path.join(ROOT, "wrangler.toml"), "utf8");
  return /^compatibility_date = "(.+)"$/m.exec(config)[1];
}

/** The modules of a built worker as Miniflare names them, `[{ type, path }]`, the main one first. */
export function modulesOf(folder) {
  const files = globSync("**/*", { cwd: folder }).filter((file) => path.extname(file) in MODULE_TYPES);
  const main = files.indexOf("index.js");
  if (main < 0) throw new Error(`there is no index.js in ${folder}: build the worker with \`cargo xtask build\``);
  files.unshift(...files.splice(main, 1));
  return files.map((file) => ({ type: MODULE_TYPES[path.extname(file)], path: path.join(folder, file) }));
}
