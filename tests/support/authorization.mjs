// A user at the authorization server, without a browser: signs in, then consents or declines.
import { CookieJar } from "./cookies.mjs";

const MAX_STEPS = 12;

/** Walks an authorization URL as `login` and consents. Returns the callback URL that the server sends the user to. */
export function authorize(authorizationUrl, options) {
  return walk(authorizationUrl, { decision: "authorize", ...options });
}

/** The same, but cancels at the consent page. */
export function decline(authorizationUrl, options) {
  return walk(authorizationUrl, { decision: "cancel", ...options });
}

/** `jar` is the browser's; the server's cookies go into it. Throws if the server shows an error instead. */
async function walk(authorizationUrl, { login = "demo", jar = new CookieJar(), decision }) {
  const { hostname } = new URL(authorizationUrl);
  // The app is on another host (localhost) or, failing that, has a path of its own.
  const isCallback = (url) => url.hostname !== hostname || /\/callback(\/|$)/.test(url.pathname);
  const answers = [new URLSearchParams({ login }), new URLSearchParams({ decision })];
  let url = new URL(authorizationUrl);
  for (let step = 0; step < MAX_STEPS; step++) {
    let response = await jar.fetch(url);
    if (response.status === 200 && answers.length) {
      await response.body?.cancel();
      response = await jar.fetch(url, { method: "POST", body: answers.shift() });
    }
    const location = response.headers.get("location");
    if (!location) throw new Error(`the authorization server answered ${response.status}: ${await response.text()}`);
    await response.body?.cancel();
    url = new URL(location, url);
    if (isCallback(url)) return url.href;
  }
  throw new Error("the authorization server redirects without end");
}
