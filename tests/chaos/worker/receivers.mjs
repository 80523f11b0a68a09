// Receivers of webhooks: one that takes them, one that is slow, one that fails, one that does whatever it likes.
import { createServer } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

import { listen } from "../../stack/listen.mjs";

/** Just within the time that the worker waits. */
const SLOW_MS = 9500;

/** Returns `{ urls, stop() }`. */
export async function startReceivers({ random, report }) {
  const ways = {
    good: (response) => response.writeHead(204).end(),
    slow: async (response) => {
      await delay(SLOW_MS);
      response.writeHead(204).end();
    },
    failing: (response) => response.writeHead(500).end("no"),
    erratic: (response) => random.pick([ways.good, ways.slow, ways.failing, () => response.destroy()])(response),
  };
  const server = createServer(async (request, response) => {
    request.on("error", () => {});
    response.on("error", () => {});
    request.resume();
    report.count("webhooks delivered or tried");
    await ways[request.url.slice(1)]?.(response);
  });
  const origin = await listen(server);
  return {
    urls: Object.keys(ways).map((way) => `${origin}/${way}`),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
