// A proxy that never loses a request. An idle connection that one side closes while the other sends on it would look like a
// failure of the worker: ours stay open, and each request upstream has one of its own.
import { createServer, request as httpRequest } from "node:http";

import { listen } from "../../stack/listen.mjs";

/**
 * `route(request)` names the URL that a request goes to, and may watch: `{ target, onEnd, onBodies }`. `onEnd()` is called when
 * the exchange is over; `onBodies(sent, got)`, as text, before the answer goes on. Returns `{ port, stop() }`.
 */
export async function startForward(route) {
  const server = createServer((incoming, response) => {
    const { target, onEnd, onBodies } = route(incoming);
    if (onEnd) response.once("close", onEnd);
    const { hostname, port } = new URL(target);
    const { method, url: path, headers } = incoming;
    const sent = onBodies && textOf(incoming);
    const upstream = httpRequest({ agent: false, hostname, port, method, path, headers: { ...headers, connection: "close" } }, async (answer) => {
      const { connection: _, ...rest } = answer.headers;
      if (!onBodies) {
        response.writeHead(answer.statusCode, rest);
        answer.pipe(response);
        return;
      }
      const got = await textOf(answer);
      onBodies(await sent, got);
      response.writeHead(answer.statusCode, rest);
      response.end(got);
    });
    upstream.once("error", (error) => response.destroy(error));
    incoming.pipe(upstream);
  });
  server.keepAliveTimeout = 0;
  const { port } = new URL(await listen(server));
  return {
    port,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function textOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
