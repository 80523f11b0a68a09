// What the runtime starts; `cargo xtask build` fills in the two lines of snippets. It instantiates the wasm and lends the
// executor of glue.js what that needs of it.
import * as bindings from "./index_bg.js";
import wasm from "./index_bg.wasm";
$SNIPPET_JS_IMPORTS

const snippets = {
  $SNIPPET_WASM_IMPORTS
};
const { exports } = new WebAssembly.Instance(wasm, { "./index_bg.js": bindings, ...snippets });
bindings.__wbg_set_wasm(exports);
exports.__wbindgen_start();

const { connect, run } = Object.values(snippets).find((snippet) => "connect" in snippet);
connect(bindings, exports);

export default {
  fetch: (request, env, ctx) => run(() => bindings.fetch(request, env), env, ctx),
  scheduled: (_event, env, ctx) => run(() => bindings.scheduled(env), env, ctx),
  queue: (batch, env, ctx) => run(() => bindings.queue(batch, env), env, ctx),
};
