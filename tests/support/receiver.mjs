// A receiver of webhooks, as somebody writes one with the `standardwebhooks` library.
import { createServer } from "node:http";

import { Webhook } from "standardwebhooks";

import { listen } from "../stack/listen.mjs";

/**
 * Starts a receiver. Returns:
 *
 * - `url`: where webhooks are to be sent
 * - `requests`: `[{ path, headers, body, at }]` in the order of their arrival, answered or not
 * - `answer(behaviour)`: from now on `behaviour(request, response)` answers; without one it is 204
 * - `events(secret, integration)`: what arrived so far and verifies with the secret, `[{ id, type, timestamp, data }]`, of the
 *    integration if one is named. Throws if something does not verify
 * - `stop()`: closes the port; `start()` opens it again
 */
export async function startReceiver() {
  const requests = [];
  let behaviour;
  const server = createServer(async (incoming, response) => {
    const chunks = [];
    incoming.on("error", () => {});
    for await (const chunk of incoming) chunks.push(chunk);
    const request = { path: incoming.url, headers: incoming.headers, body: Buffer.concat(chunks).toString("utf8"), at: Date.now() };
    requests.push(request);
    if (behaviour) return behaviour(request, response);
    response.writeHead(204).end();
  });
  const origin = await listen(server);
  const stop = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const start = () => new Promise((resolve) => server.listen(Number(new URL(origin).port), new URL(origin).hostname, resolve));
  return {
    url: `${origin}/hook?from=edge`,
    requests,
    answer: (next) => void (behaviour = next),
    events(secret, integration) {
      const webhook = new Webhook(secret);
      return requests
        .map(({ headers, body }) => ({ id: headers["webhook-id"], ...webhook.verify(body, headers) }))
        .filter(({ data }) => !integration || data.integration_id === integration);
    },
    stop,
    start,
  };
}

/** Answers with a status and, where they are given, headers and a body. */
export function status(code, headers = {}, body = "") {
  return (_, response) => void response.writeHead(code, headers).end(body);
}
