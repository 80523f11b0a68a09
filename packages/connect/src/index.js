/** Sends the user of a page to a connect session. The page talks to its own backend alone; docs/embedding.md says what that does. */

const ENDS = ['completed', 'failed', 'expired'];

async function ask(url, init) {
  const response = await fetch(url, { credentials: 'same-origin', cache: 'no-store', ...init });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  return response.json();
}

/** The link of a new session. `start` answers a POST with `{"url"}`; `body` is sent to it as JSON. */
async function link({ start, body = {} }) {
  const { url } = await ask(start, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return url;
}

/** Sends this window to a session. In the end the browser is at the session's return URL. */
export async function redirect(options) {
  location.assign(await link(options));
}

/**
 * Opens a session in a popup; to be called in a click. `status` answers a GET with `{"state"}`. Returns that answer once the session has ended.
 * The popup is never asked whether it is closed: browsers say so of an open one whose page isolates itself from its opener.
 */
export async function popup({ status, interval = 2000, timeout = 3_600_000, signal, ...options }) {
  // Before the first await, while the click still allows it.
  const opened = open('about:blank', '_blank', 'popup,width=480,height=720');
  if (!opened) {
    await redirect(options);
    return new Promise(() => {});
  }
  try {
    opened.location.replace(await link(options));
  } catch (failure) {
    opened.close();
    throw failure;
  }
  const end = Date.now() + timeout;
  while (Date.now() < end) {
    await new Promise((resolve) => setTimeout(resolve, interval));
    signal?.throwIfAborted();
    // One answer that does not come ends nothing.
    const answer = await ask(status).catch(() => ({}));
    if (ENDS.includes(answer.state)) return answer;
  }
  return { state: 'expired' };
}
