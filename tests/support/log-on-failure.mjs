// Where to look when a test has failed.

const LOG_LINES = 10;

/** For `afterEach`: after a failed test, shows the last lines of the worker's log and where the servers' logs are. */
export function logOnFailure(worker) {
  return (context) => {
    if (context.passed || !worker()) return;
    const lines = worker().logs().slice(-LOG_LINES).map(({ message }) => message);
    context.diagnostic(`last lines of the worker's log:\n${lines.join("\n") || "none"}`);
    context.diagnostic(`the logs of the servers: ${worker().info.logs}`);
  };
}
