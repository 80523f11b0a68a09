// One rotation by keytool, timed from the start of the process to its end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";

const POLL_MS = 10;

/**
 * Rotates from key `from` to key `to`, and unless `wrappingOnly` replaces the data keys, so that every row is resealed. `place` is the environment that says where the rows are. Returns
 * `{ seconds, written, dataKeys, peakKb }`; peakKb is undefined where there is no such /proc.
 */
export async function runKeytool(program, { from, to, place, connections, wrappingOnly = false }) {
  const begun = performance.now();
  const child = spawn(program, ["rotate", "--json", "--jobs", String(connections), ...(wrappingOnly ? [] : ["--new-data-keys"])], {
    env: { ENCRYPTION_KEY: to.base64, FALLBACK_ENCRYPTION_KEYS: from.base64, ...place },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let peakKb;
  const timer = setInterval(() => (peakKb = peakOf(child.pid) ?? peakKb), POLL_MS);
  let said = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (said += text));
  const [code] = await once(child, "close");
  clearInterval(timer);
  const seconds = (performance.now() - begun) / 1000;
  if (code !== 0) throw new Error(`keytool ended with ${code}`);
  const events = said.trim().split("\n").map((line) => JSON.parse(line));
  const { written, data_keys: dataKeys } = events.findLast(({ event }) => event === "rewrapped");
  return { seconds, written, dataKeys, peakKb };
}

/** The most memory that the process ever had, in kB. */
function peakOf(pid) {
  try {
    return Number(/^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) || undefined;
  } catch {
    return undefined;
  }
}
