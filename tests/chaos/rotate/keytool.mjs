// keytool as an operator runs it, and as a machine ends it.
import { spawn } from "node:child_process";

import { startWire } from "./wire.mjs";

const LIMIT_MS = 120_000;

export class Keytool {
  constructor({ program, info, report, nonces }) {
    Object.assign(this, { program, info, report, nonces });
    this.running = new Set();
  }

  /**
   * Starts `keytool <args> --json` with a ring of keys, the first one primary. `way` is "direct" or "rest"; `wire` are the wire's
   * options, `killAfter` milliseconds until it is killed. Resolves when it has ended: `{ code, killed, events, stderr, steps }`.
   */
  async run(args, keys, { way = "direct", wire: options = {}, killAfter } = {}) {
    let child;
    let killed = false;
    const kill = () => {
      killed = child.exitCode === null && child.kill("SIGKILL");
    };
    const wire = way === "direct" ? await startWire(this.info.database_url, { ...options, nonces: this.nonces, onEnd: kill }) : undefined;
    const [primary, ...fallbacks] = keys.map(({ base64 }) => base64);
    const place = wire
      ? { DATABASE_URL: wire.url }
      : { SUPABASE_URL: this.info.supabase_url, SUPABASE_SERVICE_ROLE_KEY: this.info.secret_key };
    child = spawn(this.program, [...args, "--json"], {
      env: { ENCRYPTION_KEY: primary, FALLBACK_ENCRYPTION_KEYS: fallbacks.join(","), ...place },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.running.add(child);
    const timers = [setTimeout(() => this.#tooLong(child, args), LIMIT_MS)];
    if (killAfter !== undefined) timers.push(setTimeout(kill, killAfter));
    try {
      const [code, stdout, stderr] = await Promise.all([ended(child), all(child.stdout), all(child.stderr)]);
      if (killed) this.report.count("kills");
      return { code, killed, events: events(stdout), stderr, steps: wire?.steps() };
    } finally {
      this.running.delete(child);
      timers.forEach(clearTimeout);
      await wire?.stop();
    }
  }

  /** Ends what still runs. */
  stop() {
    for (const child of this.running) child.kill("SIGKILL");
  }

  #tooLong(child, args) {
    this.report.violation("keytool comes to an end", `keytool ${args[0]} within ${LIMIT_MS / 1000} s`, "it still runs");
    child.kill("SIGKILL");
  }
}

/** The event of this name, or an empty one. */
export function eventOf({ events }, name) {
  return events.findLast(({ event }) => event === name) ?? {};
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
}

async function all(stream) {
  let text = "";
  for await (const chunk of stream.setEncoding("utf8")) text += chunk;
  return text;
}

/** The last line of one that was killed may be half. */
function events(stdout) {
  return stdout.split("\n").flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}
