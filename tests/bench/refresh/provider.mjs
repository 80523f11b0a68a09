// A token endpoint that takes every refresh token and answers after a while, and counts.
import { createServer } from "node:http";

import { listen } from "../../stack/listen.mjs";

/** Options: `latency` in milliseconds. `/reset` answers what was counted since the last, `{ count, peak }`, and begins anew. */
export async function serve({ latency }) {
  let counted = { count: 0, peak: 0 };
  let open = 0;
  const server = createServer((request, response) => {
    const json = (status, body) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (request.url === "/reset") {
      json(200, counted);
      counted = { count: 0, peak: 0 };
      return;
    }
    counted.count++;
    counted.peak = Math.max(counted.peak, ++open);
    request.resume();
    setTimeout(() => {
      open--;
      json(201, { access_token: `fresh-access-${counted.count}`, refresh_token: `fresh-refresh-${counted.count}`, token_type: "Bearer", expires_in: 86_400 });
    }, latency);
  });
  server.keepAliveTimeout = 600_000;
  return { url: await listen(server) };
}
