// What the runtime starts. After a trap it begins the wasm anew, as the entry that the SDK's own build makes: whatever was under way is lost, and
// a scan that is lost so is continued.
import * as wasm from "./index.js";

Error.stackTraceLimit = 100;
const state = wasm.__worker_init_state();

function look(error) {
  if (!(error instanceof WebAssembly.RuntimeError)) return;
  console.error("Critical", error);
  state.criticalError = true;
}
addEventListener("error", ({ error }) => look(error));

async function run(call) {
  if (state.criticalError) {
    console.log("Reinitializing Wasm application");
    wasm.__wbg_reset_state();
    state.criticalError = false;
    state.instanceId += 1;
  }
  try {
    return await call();
  } catch (error) {
    look(error);
    throw error;
  }
}

export default {
  scheduled: (event, env, ctx) => run(() => wasm.scheduled(event, env, ctx)),
  queue: (batch, env, ctx) => run(() => wasm.queue(batch, env, ctx)),
};
