// A provider that answers every read of a Supabase project after a while, and counts.
import { createServer } from "node:http";

import { listen } from "../../stack/listen.mjs";
import { recordedReads } from "../../stack/recorded-reads.mjs";

/** Options: `latency` in milliseconds. `/reset` answers what was counted since the last, `{ count, peak }`, and begins anew. */
export async function serve({ latency }) {
  const recorded = recordedReads(["supabase"]);
  let counted = { count: 0, peak: 0 };
  let open = 0;
  const server = createServer((request, response) => {
    if (request.url === "/reset") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(counted));
      counted = { count: 0, peak: 0 };
      return;
    }
    counted.count++;
    counted.peak = Math.max(counted.peak, ++open);
    request.resume();
    setTimeout(() => {
      open--;
      const { status, headers, body } = recorded(request.method, request.url) ?? { status: 404, headers: {}, body: "{}" };
      response.writeHead(status, headers).end(body);
    }, latency);
  });
  server.keepAliveTimeout = 600_000;
  return { url: await listen(server) };
}
