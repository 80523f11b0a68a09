// What stands in front of several deployments of the worker: each request goes to the next one, so that a connection begun at
// one is finished at another.
import { Agent, createServer, request as httpRequest } from "node:http";

import { listen } from "../../stack/listen.mjs";

/** Returns `{ url, add(url), remove(url), stop() }`; `remove` resolves when the deployment has answered all that it got. */
export async function startFront() {
  const agent = new Agent({ keepAlive: true });
  let deployments = [];
  let turn = 0;

  const server = createServer((incoming, response) => {
    const deployment = deployments[turn++ % deployments.length];
    deployment.open += 1;
    response.once("close", () => {
      deployment.open -= 1;
      if (deployment.open === 0) deployment.onIdle?.();
    });
    const { hostname, port } = new URL(deployment.url);
    const { method, url: path, headers } = incoming;
    const upstream = httpRequest({ agent, hostname, port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    upstream.once("error", (error) => response.destroy(error));
    incoming.pipe(upstream);
  });
  const { port } = new URL(await listen(server));
  return {
    // For a browser another site than the authorization server, as in production.
    url: `http://localhost:${port}`,
    add(url) {
      deployments = [...deployments, { url, open: 0 }];
    },
    async remove(url) {
      const deployment = deployments.find((candidate) => candidate.url === url);
      deployments = deployments.filter((candidate) => candidate !== deployment);
      if (deployment.open > 0) await new Promise((resolve) => (deployment.onIdle = resolve));
    },
    async stop() {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
