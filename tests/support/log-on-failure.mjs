// Where to look when a test has failed.

const LOG_LINES = 10;

/** For `afterEach`: says after a failed test what the worker logged last, and where the logs of the servers are. */
export function logOnFailure(worker) {
  return (context) => {
    if (context.passed) return;
    const lines = worker().logs().slice(-LOG_LINES).map(({ message }) => message);
    context.diagnostic(`the worker's last words:\n${lines.join("\n") || "none"}`);
    context.diagnostic(`the logs of the servers: ${worker().info.logs}`);
  };
}
