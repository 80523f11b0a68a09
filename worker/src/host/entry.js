// What the runtime starts. worker-build's own entry makes a class instance, two proxies and a dozen closures of every request, so
// that the wasm begins anew after a panic. wasm-bindgen's exports see to that themselves, so they are called without a detour.
import Worker from "./worker.js";

const { fetch, scheduled, queue } = Worker.prototype;

export default {
  fetch: (request, env, ctx) => fetch.call({ env, ctx }, request),
  scheduled: (event, env, ctx) => scheduled.call({ env, ctx }, event),
  queue: (batch, env, ctx) => queue.call({ env, ctx }, batch),
};
