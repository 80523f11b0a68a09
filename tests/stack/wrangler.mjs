// Both workers as a developer runs them: wrangler dev, which builds them and reads .dev.vars.
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { startChild } from "./child.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const MINUTE_MS = 60_000;
/** In place of a minute, so that who asks for a scan need not wait for the clock. */
const SCANNER_PAUSE_MS = 500;

/** Starts the worker on the port, and waits until it says that it is well. Once a minute its schedule runs. */
export async function startWorker({ port, logs, ...options }) {
  const worker = await startWrangler({ name: "worker", folder: ROOT, port, logs, ...options });
  const health = await fetch(`http://localhost:${port}/health`).catch((error) => error);
  if (health.status !== 200) {
    await worker.stop();
    throw new Error(`the worker does not answer GET /health as it should, see ${path.join(logs, "worker.log")}`);
  }
  const clock = setInterval(() => runSchedule(port), MINUTE_MS);
  return {
    ...worker,
    stop: () => {
      clearInterval(clock);
      return worker.stop();
    },
  };
}

/** Starts the scanner. Its schedule runs again and again, with a short pause in between. */
export async function startScanner({ port, ...options }) {
  const scanner = await startWrangler({ name: "scanner", folder: path.join(ROOT, "scanner"), port, ...options });
  let stopped = false;
  const clock = (async () => {
    while (!stopped) {
      await runSchedule(port);
      await delay(SCANNER_PAUSE_MS);
    }
  })();
  return {
    ...scanner,
    stop: async () => {
      stopped = true;
      await scanner.stop();
      await clock;
    },
  };
}

/** Wrangler leaves the schedule to whoever asks for it. A run that fails is in the worker's log. */
function runSchedule(port) {
  return fetch(`http://localhost:${port}/cdn-cgi/handler/scheduled?cron=*+*+*+*+*`).catch(() => {});
}

/** wrangler dev in this folder, once it listens. */
function startWrangler({ name, folder, port, logs, onExit, signal }) {
  return startChild({
    name,
    command: process.execPath,
    args: [
      path.join(ROOT, "node_modules/wrangler/bin/wrangler.js"),
      ...["dev", "--port", String(port), "--ip", "localhost", "--inspector-port", "0"],
      "--show-interactive-dev-session=false",
    ],
    cwd: folder,
    env: {
      ...process.env,
      WRANGLER_SEND_METRICS: "false",
      // Nothing here uses request.cf, which wrangler would fetch from the network.
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      FORCE_COLOR: "0",
    },
    ready: /Ready on (http:\/\/\S+)/,
    logs,
    onExit,
    signal,
  });
}
