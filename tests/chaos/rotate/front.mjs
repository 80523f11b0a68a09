// What stands in front of several deployments of the worker: each request goes to the next one, so that a connection begun at
// one is finished at another.
import { startForward } from "./forward.mjs";

/** Returns `{ url, add(url), remove(url), stop() }`; `remove` resolves when the deployment has answered all that it got. */
export async function startFront() {
  let deployments = [];
  let turn = 0;

  const { port, stop } = await startForward(() => {
    const deployment = deployments[turn++ % deployments.length];
    deployment.open += 1;
    const onEnd = () => {
      deployment.open -= 1;
      if (deployment.open === 0) deployment.onIdle?.();
    };
    return { target: deployment.url, onEnd };
  });
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
    stop,
  };
}
