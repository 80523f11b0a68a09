// The command that brings the stack up, and keeps it up until it is told to stop:
//
//     node_modules/.bin/node tests/stack/main.mjs --dir .dev --port 3000 [--no-worker] [--no-vars]
//
// It writes <dir>/stack.json, which tells all about the running stack, and .dev.vars for wrangler (not with --no-vars).
const OLDEST_NODE = 22;

if (Number(process.versions.node.split(".")[0]) < OLDEST_NODE) {
  console.error(`error: Node ${process.versions.node} is too old for wrangler, which needs ${OLDEST_NODE}`);
  console.error("hint: npm ci, then node_modules/.bin/node tests/stack/main.mjs");
  process.exit(2);
}
// Only now: what it imports does not even load in an older Node.
const { main } = await import("./command.mjs");
await main(process.argv.slice(2));
