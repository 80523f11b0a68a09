// What the providers' APIs answer to the reads of the checks: the answers recorded in checks/fixtures, for whichever account asks.
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const FIXTURES = fileURLToPath(new URL("../../checks/fixtures/", import.meta.url));
/** What the recorded paths have where others' have an account's own. */
const RECORDED = { ref: "abcdefghijklmnopqrst", slug: "acme" };

/**
 * Reads the recorded answers of these types, by default all of them. Returns `answer(method, path)`: `{ status, headers, body }`, or undefined if
 * nothing was recorded. `path` has its query; Supabase's projects and organisations may be any.
 */
export function recordedReads(types = readdirSync(FIXTURES)) {
  const exchanges = new Map();
  for (const type of types) {
    const folder = `${FIXTURES}${type}/`;
    for (const file of readdirSync(folder).filter((name) => name !== "fixture.json")) {
      for (const exchange of [JSON.parse(readFileSync(folder + file, "utf8"))].flat()) {
        const [method, url] = exchange.request.split(" ");
        exchanges.set(`${method} ${pathOf(url)}`, exchange);
      }
    }
  }
  return (method, path) => {
    const ref = /^\/v[12]\/projects\/([a-z]{20})(?=[/?]|$)/.exec(path)?.[1] ?? RECORDED.ref;
    const slug = /^\/v1\/organizations\/([^/]+)\//.exec(path)?.[1] ?? RECORDED.slug;
    const recorded = path.replace(ref, RECORDED.ref).replace(`/organizations/${slug}/`, `/organizations/${RECORDED.slug}/`);
    const exchange = exchanges.get(`${method} ${recorded}`);
    if (!exchange) return undefined;
    const text = exchange.text ?? (exchange.body === undefined ? "" : JSON.stringify(exchange.body));
    return {
      status: exchange.status,
      headers: { "content-type": "application/json; charset=utf-8", ...exchange.headers },
      body: text.replaceAll(RECORDED.ref, ref),
    };
  };
}

/** As the entry's reads, whose queries may be percent-encoded or not. */
function pathOf(url) {
  return url.slice(new URL(url).origin.length);
}
