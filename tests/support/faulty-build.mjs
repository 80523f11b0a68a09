// The built worker with a fault in it: the n-th call of an import of the wasm, or of one of its exports, ends as a trap does.
import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const BUILD = fileURLToPath(new URL("../../worker/build", import.meta.url));
const CONTROL = "/__fault";

/** Evaluated before the worker's own modules. An exception that passes through wasm is to wasm what a trap is: no destructor runs. */
const INSTRUMENT = `
export const faults = { counts: {}, at: undefined, hits: 0 };
function reached(name) {
  const count = (faults.counts[name] = (faults.counts[name] ?? 0) + 1);
  if (faults.at?.name !== name || faults.at.nth !== count) return;
  faults.hits += 1;
  throw new WebAssembly.RuntimeError("unreachable");
}
const faulty = (name, call) => (...given) => (reached(name), call(...given));
const all = (prefix, parts) => Object.fromEntries(
  Object.entries(parts).map(([name, part]) => [name, typeof part === "function" ? faulty(prefix + name, part) : part]),
);
const Instance = WebAssembly.Instance;
WebAssembly.Instance = function (module, imports) {
  const { exports } = new Instance(module, Object.fromEntries(Object.entries(imports).map(([from, parts]) => [from, all("", parts)])));
  return { exports: { ...exports, poll: faulty("poll", exports.poll) } };
};
`;
const ENTRY = `
import { faults } from "./instrument.js";
import worker from "./worker.js";

async function control(request) {
  const at = await request.json();
  const { counts, hits } = faults;
  Object.assign(faults, { counts: {}, at: at ?? undefined, hits: 0 });
  return Response.json({ counts, hits });
}
export default {
  ...worker,
  fetch: (request, env, ctx) => new URL(request.url).pathname === "${CONTROL}" ? control(request) : worker.fetch(request, env, ctx),
};
`;

/**
 * Copies the build. Returns \`{ build, stop(), arm(worker, at) }\`: \`arm\` begins to count anew, with a fault at \`{ name, nth }\` or without
 * one, and returns what was counted since the last time and how often the fault was hit.
 */
export function faultyBuild() {
  const build = mkdtempSync(path.join(tmpdir(), "faulty-build-"));
  cpSync(BUILD, build, { recursive: true });
  renameSync(path.join(build, "index.js"), path.join(build, "worker.js"));
  writeFileSync(path.join(build, "instrument.js"), INSTRUMENT);
  writeFileSync(path.join(build, "index.js"), ENTRY);
  return {
    build,
    stop: () => rmSync(build, { recursive: true, force: true }),
    async arm({ url }, at = null) {
      return (await fetch(url + CONTROL, { method: "POST", body: JSON.stringify(at) })).json();
    },
  };
}
