// How much is uploaded, as `wrangler deploy` reports it.
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { modulesOf } from "../../support/worker.mjs";

/** `{ edge: { bytes, gzipped, wasm_gzipped }, plain: … }` */
export function size({ edge, plain }) {
  return { edge: weigh(modulesOf(edge.root)), plain: weigh(plain.modules) };
}


function weigh(modules) {
  const gzipped = (some) => gzipSync(Buffer.concat(some.map(({ path }) => readFileSync(path)))).length;
  return {
    bytes: modules.reduce((sum, { path }) => sum + readFileSync(path).length, 0),
    gzipped: gzipped(modules),
    wasm_gzipped: gzipped(modules.filter(({ type }) => type === "CompiledWasm")),
  };
}
