// Servers written in JavaScript run in threads of the stack's process: they end with it, and the password hashing of
// one does not delay the answers of another.
//
// Such a server is a module that exports `serve(options)`, which resolves to what the others need to know of it.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

import { openLog } from "./logs.mjs";

/** Runs `serve(options)` of a module in a thread. Returns `{ value, stop() }`. */
export async function startThread({ name, module, options, logs, onExit }) {
  const log = openLog(logs, name);
  const thread = new Worker(new URL(import.meta.url), {
    workerData: { module: new URL(module, import.meta.url).href, options },
    stdout: true,
    stderr: true,
  });
  log.pipe(thread.stdout);
  log.pipe(thread.stderr);

  let stopping = false;
  const stop = async () => {
    stopping = true;
    await thread.terminate();
  };
  const failed = new Promise((_, reject) => {
    thread.once("error", (error) => reject(new Error(`${name} failed: ${error.stack}`)));
    thread.once("exit", () => reject(new Error(`${name} ended, see ${log.file}`)));
  });
  const value = await Promise.race([new Promise((resolve) => thread.once("message", resolve)), failed]);
  failed.catch((error) => stopping || onExit?.(error));
  return { value, stop };
}

if (!isMainThread && workerData?.module) {
  const { serve } = await import(workerData.module);
  parentPort.postMessage(await serve(workerData.options));
}
