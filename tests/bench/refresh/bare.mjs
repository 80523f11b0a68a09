// A worker that sends bare calls, so many at a time, and reads their answers: all that the provider's speed allows.
import { convertV4MiniflareOptions, Miniflare } from "miniflare";

import { compatibilityDate } from "../../support/worker.mjs";

const SCRIPT = `
export default {
  async fetch(request) {
    const { url, count, lanes, init } = await request.json();
    let left = count;
    const lane = async () => {
      while (left-- > 0) {
        const answer = await fetch(url, init);
        await answer.json();
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    return new Response("done");
  },
};`;

const REDEMPTION = {
  method: "POST",
  headers: { "content-type": "application/x-www-form-urlencoded" },
  body: "grant_type=refresh_token&refresh_token=bare",
};

/** Starts it: `{ call(url, count, lanes, init?), stop() }`. `init` is fetch's, by default that of a redemption. */
export async function startBareCaller() {
  const miniflare = new Miniflare(
    convertV4MiniflareOptions({ name: "bare", modules: true, script: SCRIPT, compatibilityDate: compatibilityDate(), cf: false }),
  );
  await miniflare.ready;
  return {
    async call(url, count, lanes, init = REDEMPTION) {
      const answer = await miniflare.dispatchFetch("http://bare/", { method: "POST", body: JSON.stringify({ url, count, lanes, init }) });
      if ((await answer.text()) !== "done") throw new Error(`the bare calls ended with ${answer.status}`);
    },
    stop: () => miniflare.dispose(),
  };
}
