// What both workers ask: PostgREST's and Supabase Auth's answers, without a database behind them, so that the time of a
// request is the worker's. With the real servers both workers wait for the same database, and their ratio nears 1.
import { createServer } from "node:http";

import { listen } from "../../stack/listen.mjs";

const LIST_PATH = "/rest/v1/integrations";
const JWKS_PATH = "/auth/v1/.well-known/jwks.json";
const OPENED = Date.UTC(2026, 0, 1);

/** Starts it: `{ url, last(), stop() }`; `last()` is the latest list request as it came: `{ method, path, headers }`. */
export async function startUpstream({ rows, verificationKey }) {
  const list = Buffer.from(JSON.stringify(Array.from({ length: rows }, (_, index) => row(index))));
  const jwks = Buffer.from(JSON.stringify({ keys: [verificationKey] }));
  let last;
  const server = createServer((request, response) => {
    if (request.url.startsWith(LIST_PATH)) {
      last = request;
      response.writeHead(200, {
        "content-type": "application/json; charset=utf-8",
        "content-range": `0-${rows - 1}/${rows}`,
        "content-length": list.length,
      });
      response.end(list);
    } else if (request.url === JWKS_PATH) {
      response.writeHead(200, { "content-type": "application/json", "content-length": jwks.length });
      response.end(jwks);
    } else {
      response.writeHead(404).end();
    }
  });
  server.keepAliveTimeout = 600_000;
  const url = await listen(server);
  return {
    url,
    last: () => ({ method: last.method, path: last.url, headers: last.headers }),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A row as PostgREST shows it: the columns that the list selects. */
function row(index) {
  const number = String(index).padStart(12, "0");
  return {
    id: `00000000-0000-4000-8000-${number}`,
    integration_type: "supabase",
    name: `Project ${index} of a customer`,
    status: "active",
    created_at: new Date(OPENED - index * 3_600_000).toISOString().replace("Z", "000+00:00"),
  };
}
