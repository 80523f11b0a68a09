// A worker on workerd itself, in a process of its own. Miniflare and wrangler put a JavaScript worker in front, which costs
// as much as the ones that are compared here.
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";

import { startChild } from "../../stack/child.mjs";
import { compatibilityDate } from "../../support/worker.mjs";

const require = createRequire(import.meta.url);
// Not a dependency of ours: the very one that Miniflare brings.
const WORKERD = createRequire(require.resolve("miniflare"))("workerd").default;
const LISTENING = /"event":"listen","socket":"http","port":(\d+)/;
const CAPNP_KIND = { ESModule: "esModule", CompiledWasm: "wasm" };

/**
 * Starts a worker of these modules (`[{ type, path }]` below the folder `root`, the main one first) with these settings.
 * Returns `{ url, cpuSeconds(), stop() }`.
 */
export async function startWorkerd({ name, root, modules, bindings }) {
  const dir = mkdtempSync(path.join(tmpdir(), "bench-worker-"));
  try {
    const config = writeConfig({ dir, root, modules, bindings });
    const child = await startChild({
      name,
      command: WORKERD,
      args: ["serve", config, "--control-fd=1"],
      logs: dir,
      ready: LISTENING,
    });
    return {
      url: `http://127.0.0.1:${child.match[1]}`,
      cpuSeconds: () => cpuSeconds(child.pid),
      async stop() {
        await child.stop();
        rmSync(dir, { recursive: true });
      },
    };
  } catch (error) {
    rmSync(dir, { recursive: true });
    throw error;
  }
}

function writeConfig({ dir, root, modules, bindings }) {
  const embedded = modules.map(({ type, path: file }) => {
    const name = path.relative(root, file);
    mkdirSync(path.dirname(path.join(dir, "modules", name)), { recursive: true });
    copyFileSync(file, path.join(dir, "modules", name));
    return `(name = ${text(name)}, ${CAPNP_KIND[type]} = embed ${text(`modules/${name}`)})`;
  });
  const settings = Object.entries(bindings).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`);
  const config = path.join(dir, "config.capnp");
  writeFileSync(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      compatibilityDate = ${text(compatibilityDate())},
      modules = [${embedded.join(", ")}],
      bindings = [${settings.join(", ")}],
    )),
    (name = "internet", network = (allow = ["private"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
`,
    { mode: 0o600 },
  );
  return config;
}

/** Cap'n Proto's text literals are JSON's, as far as settings go. */
function text(value) {
  return JSON.stringify(value);
}

/** What all of the process' threads have computed so far; undefined where there is no such /proc. */
function cpuSeconds(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    // The first field is nanoseconds on a processor; /proc/<pid>/stat counts hundredths of a second.
    const nanoseconds = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]));
    return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e9;
  } catch {
    return undefined;
  }
}
