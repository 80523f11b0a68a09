// What main.mjs does in a Node that is new enough.
import { rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

import { freePort, isPortFree } from "./listen.mjs";
import {
  claimDirectory,
  developerSettings,
  removeDevVars,
  requireDevVars,
  scannerSettings,
  workerSettings,
  writeAtomically,
  writeDevVars,
} from "./settings.mjs";
import { startStack } from "./stack.mjs";
import { startScanner, startWorker } from "./wrangler.mjs";

const DEV_VARS = fileURLToPath(new URL("../../.dev.vars", import.meta.url));
const SCANNER_DEV_VARS = fileURLToPath(new URL("../../scanner/.dev.vars", import.meta.url));
const PARENT_POLL_MS = 1000;
const EXIT = { stopped: 0, failed: 1, usage: 2 };

/** Runs until a signal, the death of the parent or the failure of a server; whatever happens, nothing is left running. */
export async function main(argv) {
  const options = parse(argv);
  const begun = performance.now();
  const log = (line) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s  ${line}`);

  const lifetime = watchForEnd();
  const running = { stops: [] };
  const startup = bringUp(options, { log, running, onExit: lifetime.fail, signal: lifetime.signal });
  const code = await Promise.race([
    lifetime.ended,
    startup.then(() => lifetime.ended, (error) => report(error)),
  ]);
  // The stack can only be stopped once it is up, which takes seconds; the wait for the worker is aborted.
  await startup.catch(() => {});
  for (const stop of running.stops.reverse()) await stop();
  process.exit(code);
}

async function bringUp({ dir, port, worker, vars }, { log, running, onExit, signal }) {
  if (vars) [DEV_VARS, SCANNER_DEV_VARS].forEach(requireDevVars);
  if (worker && !(await isPortFree(port))) throw new Error(`port ${port} is in use\nhint: choose another with --port`);
  running.stops.push(claimDirectory(dir).release);
  const description = path.join(dir, "stack.json");

  const stack = await startStack({ dir, appUrl: `http://localhost:${port}`, log, onExit });
  running.stops.push(stack.stop);
  if (vars) {
    const written = [
      [DEV_VARS, { ...workerSettings(stack.info), ...developerSettings(stack.info) }],
      [SCANNER_DEV_VARS, scannerSettings(stack.info)],
    ];
    for (const [file, settings] of written) {
      writeDevVars(file, settings);
      running.stops.push(() => removeDevVars(file));
    }
  }
  if (worker) {
    log("starting both workers");
    const options = { logs: stack.info.logs, onExit, signal };
    const starting = [startWorker({ port, ...options }), startScanner({ port: await freePort(), ...options })];
    const started = await Promise.allSettled(starting);
    for (const { value } of started) if (value) running.stops.push(value.stop);
    const failed = started.find(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
  }
  writeAtomically(description, `${JSON.stringify(stack.info, null, 2)}\n`);
  running.stops.push(() => rmSync(description, { force: true }));
  log(`everything is up: ${description} describes it, logs are in ${path.join(dir, "logs")}`);
  console.log(worker ? `ready: ${stack.info.app_url}` : "ready: the stack, without a worker");
  const { email, password } = stack.info.user;
  console.log(`sign in as ${email} with the password ${password}; at the authorization server any login name will do`);
  const { client_id: id, client_secret: secret } = stack.info.machine;
  console.log(`to connect Auth0: any tenant, the client id ${id} and the client secret ${secret}`);
}

/** Resolves to an exit status once there is a reason to stop. */
function watchForEnd() {
  const { promise: ended, resolve: settle } = Promise.withResolvers();
  const abort = new AbortController();
  const resolve = (code) => {
    settle(code);
    abort.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => resolve(EXIT.stopped));
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || resolve(EXIT.stopped), PARENT_POLL_MS).unref();
  return { ended, signal: abort.signal, fail: (error) => abort.signal.aborted || resolve(report(error)) };
}

function report(error) {
  console.error(`error: ${error.message}`);
  return EXIT.failed;
}

function parse(argv) {
  try {
    const { values } = parseArgs({
      args: argv,
      allowNegative: true,
      options: {
        dir: { type: "string", default: ".dev" },
        port: { type: "string", default: "3000" },
        worker: { type: "boolean", default: true },
        vars: { type: "boolean", default: true },
      },
    });
    const port = Number(values.port);
    if (!Number.isInteger(port) || port < 1 || port > 65535) throw new Error(`--port is no port: ${values.port}`);
    return { ...values, port };
  } catch (error) {
    console.error(`error: ${error.message}`);
    console.error("hint: node_modules/.bin/node tests/stack/main.mjs [--dir .dev] [--port 3000] [--no-worker] [--no-vars]");
    process.exit(EXIT.usage);
  }
}
