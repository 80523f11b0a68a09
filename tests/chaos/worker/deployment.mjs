// The worker on workerd behind one address, killed and started again at will.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { registerClient } from "../../support/clients.mjs";
import { faultyBuild } from "../../support/faulty-build.mjs";
import { startWorker } from "../../support/worker.mjs";
import { startForward } from "../rotate/forward.mjs";

const TYPES = { gitlab: "client_secret_post", supabase: "client_secret_basic" };

export class Deployment {
  #worker;
  /** All that were started. */
  #workers = [];
  #stopped = false;
  #scheduled = Promise.resolve();

  static async start({ info, provider, logs }) {
    const deployment = new Deployment();
    Object.assign(deployment, { info, provider, logs, faulty: faultyBuild() });
    // Until the next one listens there is nobody: port 1 refuses.
    const forward = await startForward(() => ({ target: deployment.#worker?.url ?? "http://127.0.0.1:1" }));
    deployment.forward = forward;
    deployment.url = `http://localhost:${forward.port}`;
    deployment.clients = {};
    for (const [type, method] of Object.entries(TYPES)) {
      const callbacks = [`${deployment.url}/api/auth/callback/${type}`, `${deployment.url}/api/auth/callback`];
      deployment.clients[type] = await registerClient(info, callbacks, type, method);
    }
    await deployment.#begin();
    return deployment;
  }

  async #begin() {
    const settings = Object.entries(this.clients).flatMap(([type, { client_id, client_secret }]) => [
      [`${type.toUpperCase()}_CLIENT_ID`, client_id],
      [`${type.toUpperCase()}_CLIENT_SECRET`, client_secret],
      [`${type.toUpperCase()}_BASE_URL`, this.provider],
    ]);
    const before = new Set(workerdProcesses());
    const bindings = { APP_URL: this.url, ...Object.fromEntries(settings) };
    this.#worker = await startWorker(this.info, bindings, { build: this.faulty.build });
    this.#workers.push(this.#worker);
    this.pids = workerdProcesses().filter((pid) => !before.has(pid));
  }

  /** Runs the schedule once, as the clock would; one that fails is in the log. */
  scheduled() {
    return (this.#scheduled = Promise.resolve(this.#worker?.scheduled()).catch(() => {}));
  }

  /**
   * Lets the wasm end with a trap at `{ name, nth }`, the nth call of an import or of `poll` from now on, or takes that back. Returns what was
   * counted since the last time, `{ counts, hits }`; undefined: workerd is not there.
   */
  trap(at) {
    return this.#worker && this.faulty.arm(this.#worker, at).catch(() => undefined);
  }

  /** kill -9 of workerd, and another one in its place. */
  async kill() {
    const worker = this.#worker;
    for (const pid of this.pids) process.kill(pid, "SIGKILL");
    this.#worker = undefined;
    await Promise.race([worker.stop().catch(() => {}), delay(5000)]);
    this.#keepLog(worker);
    if (!this.#stopped) await this.#begin();
  }

  #keepLog(worker) {
    const lines = worker.logs().map(({ level, message }) => `${level} ${message}\n`);
    writeFileSync(path.join(this.logs, `worker-${this.started}.log`), lines.join(""));
  }

  /** How many were started; the last of them runs. */
  get started() {
    return this.#workers.length;
  }

  /** How many jobs have ended with a trap so far, by the logs of all workers. */
  endedByTrap() {
    const lines = this.#workers.flatMap((worker) => worker.logs());
    return lines.filter(({ message }) => message.includes("the request ended with RuntimeError")).length;
  }

  async stop() {
    this.#stopped = true;
    await Promise.race([this.#scheduled, delay(5000)]);
    if (this.#worker) {
      this.#keepLog(this.#worker);
      await this.#worker.stop();
    }
    await this.forward.stop();
    this.faulty.stop();
  }
}

/** The workerd processes that are this process's children. */
export function workerdProcesses() {
  return readdirSync("/proc").filter((pid) => /^\d+$/.test(pid)).filter((pid) => {
    try {
      const [, name, parent] = /\((.*)\) \S+ (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, "utf8"));
      return name.startsWith("workerd") && Number(parent) === process.pid;
    } catch {
      return false;
    }
  }).map(Number);
}
