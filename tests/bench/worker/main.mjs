// The bench of the worker: what it costs beside a JavaScript worker that does the same.
//
//     node_modules/.bin/node tests/bench/worker/main.mjs [--json] [--rounds 5] [--seconds 3] [--rows 20] [--build worker/build]
//
// `cargo xtask bench worker` builds the worker, then runs this. It judges nothing: only an error is a failure.
import path from "node:path";
import { fileURLToPath } from "node:url";

import { compare } from "./compare.mjs";
import { compareReads } from "./reads.mjs";
import { countRequests } from "./requests.mjs";
import { show } from "./report.mjs";
import { size } from "./size.mjs";
import { parseOptions } from "../options.mjs";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const CONNECTIONS = 16;
const LIMITS = { rounds: 50, seconds: 30, rows: 1000 };

const options = parseOptions(
  {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    rows: { type: "string", default: "20" },
    build: { type: "string", default: "worker/build" },
    requests: { type: "boolean", default: true },
    reads: { type: "boolean", default: true },
  },
  LIMITS,
);
const log = (line) => console.error(line);

const builds = {
  edge: { root: path.resolve(ROOT, options.build) },
  plain: { root: import.meta.dirname, modules: [{ type: "ESModule", path: path.join(import.meta.dirname, "plain.mjs") }] },
};
const result = {
  settings: { connections: CONNECTIONS, ...options },
  bundle: size(builds),
  ...(await compare(builds, { ...options, connections: CONNECTIONS, log })),
  ...(options.reads && { reads: await compareReads({ ...options, connections: CONNECTIONS, log }) }),
  ...(options.requests && { upstream_requests: await countRequests(log) }),
};
console.log(options.json ? JSON.stringify(result, null, 2) : show(result));
