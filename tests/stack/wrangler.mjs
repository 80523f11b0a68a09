// The worker as a developer runs it: wrangler dev, which builds it and reads .dev.vars.
import path from "node:path";
import { fileURLToPath } from "node:url";

import { startChild } from "./child.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const MINUTE_MS = 60_000;

/**
 * Starts wrangler dev on the port, and waits until the worker says that it is well. Once a minute its schedule runs, which wrangler leaves to
 * whoever asks for it.
 */
export async function startWrangler({ port, logs, onExit, signal }) {
  const worker = await startChild({
    name: "worker",
    command: process.execPath,
    args: [
      path.join(ROOT, "node_modules/wrangler/bin/wrangler.js"),
      ...["dev", "--port", String(port), "--ip", "localhost", "--inspector-port", "0"],
      "--show-interactive-dev-session=false",
    ],
    cwd: ROOT,
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
  const health = await fetch(`http://localhost:${port}/health`).catch((error) => error);
  if (health.status !== 200) {
    await worker.stop();
    throw new Error(`the worker does not answer GET /health as it should, see ${path.join(logs, "worker.log")}`);
  }
  // One that fails is in the worker's log.
  const run = () => fetch(`http://localhost:${port}/cdn-cgi/handler/scheduled?cron=*+*+*+*+*`).catch(() => {});
  const clock = setInterval(run, MINUTE_MS);
  return {
    ...worker,
    stop: () => {
      clearInterval(clock);
      return worker.stop();
    },
  };
}
