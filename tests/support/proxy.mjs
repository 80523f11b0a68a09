// A reverse proxy that records every request, and fails on request: put in front of the gateway or the authorization
// server, it shows what the worker sent and how it takes an upstream that misbehaves.
import { Agent, createServer, request as httpRequest } from "node:http";
import { setTimeout as delay } from "node:timers/promises";

import { listen } from "../stack/listen.mjs";

/**
 * Starts a proxy of `target` (a URL). Returns:
 *
 * - `url`: in place of the target's
 * - `requests`: `[{ method, path, headers, body }]` in the order of their arrival, `path` with its query, `body` a string;
 *    each is there, with all of its body, before the target or a fault answers it
 * - `count(matcher)`: how many of them match
 * - `fault(matcher, behaviour)`: from now on requests that match get this behaviour (see faults.mjs) instead; the newest
 *    match wins. Returns a function that takes it back
 * - `stop()`
 *
 * A matcher is a path prefix, a RegExp on "METHOD /path", or a function of the recorded request.
 */
export async function startProxy(target) {
  const { hostname, port } = new URL(target);
  const agent = new Agent({ keepAlive: true, timeout: 4000 });
  const requests = [];
  const faults = [];
  const stopping = new AbortController();

  const server = createServer(async (incoming, response) => {
    // The client may go away at any point; that is its right.
    incoming.on("error", () => {});
    const body = await readAll(incoming).catch(() => undefined);
    if (body === undefined) return;
    const { method, url: path, headers } = incoming;
    const request = { method, path, headers, body: body.toString("utf8") };
    requests.push(request);
    const pass = (options = {}) => forward({ request, body, response, agent, hostname, port, ...options });
    const fault = faults.findLast(({ matcher }) => matches(matcher, request));
    try {
      const wait = (ms) => delay(ms, undefined, { signal: stopping.signal });
      if (fault) await fault.behaviour({ request, response, pass, delay: wait });
      else await pass();
    } catch (error) {
      if (!stopping.signal.aborted) response.destroy(error);
    }
  });
  const url = await listen(server);

  return {
    url,
    requests,
    count: (matcher) => requests.filter((request) => matches(matcher, request)).length,
    fault(matcher, behaviour) {
      const entry = { matcher, behaviour };
      faults.push(entry);
      return () => {
        const at = faults.indexOf(entry);
        if (at >= 0) faults.splice(at, 1);
      };
    },
    async stop() {
      stopping.abort();
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function matches(matcher, request) {
  if (typeof matcher === "function") return matcher(request);
  if (matcher instanceof RegExp) return matcher.test(`${request.method} ${request.path}`);
  return request.path.startsWith(matcher);
}

/**
 * Sends the request on as it came, Host included: the issuer of a project is the URL its users call it by. With
 * `truncate`, the answer's connection is cut in the middle of its body.
 */
async function forward({ request, body, response, agent, hostname, port, truncate = false }) {
  const { connection: _, ...headers } = request.headers;
  const upstream = httpRequest({ agent, hostname, port, method: request.method, path: request.path, headers });
  response.once("close", () => response.writableFinished || upstream.destroy());
  const answer = await new Promise((resolve, reject) => {
    upstream.once("response", resolve);
    upstream.once("error", reject);
    upstream.end(body);
  });
  const { connection: _c, "keep-alive": _k, ...answerHeaders } = answer.headers;
  if (!truncate) {
    response.writeHead(answer.statusCode, answerHeaders);
    answer.pipe(response);
    return;
  }
  const whole = await readAll(answer);
  response.writeHead(answer.statusCode, { ...answerHeaders, "content-length": whole.length + 1 });
  response.write(whole.subarray(0, Math.ceil(whole.length / 2)), () => response.destroy());
}

async function readAll(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
