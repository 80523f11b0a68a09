/** Requests to the API. The browser adds the session's HttpOnly cookies. */
import { inSeconds, MESSAGES, sentence } from './words.js';

export const REQUEST_TIMEOUT = 30_000;

/** A failed request. Status 0: there was no response. `apiMessage` is the API's message, `wait` the number of seconds to wait. */
export class Failure extends Error {
  constructor(code, { status = 0, apiMessage = '', requestId, wait } = {}) {
    super((MESSAGES[code] ?? (apiMessage ? sentence(apiMessage) : MESSAGES.unreadable)).replace('{wait}', wait ? inSeconds(wait) : 'later'));
    Object.assign(this, { code, status, apiMessage, requestId, retryable: status === 0 || status >= 500 });
  }
}

/** `{ status, answer }` */
async function exchange(method, path, body) {
  // The worker accepts unsafe methods as JSON only, which a form of another site cannot send.
  const headers = method === 'GET' ? {} : { 'content-type': 'application/json' };
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT);
  try {
    const response = await fetch(path, { method, headers, body: JSON.stringify(body), cache: 'no-store', signal });
    return read(response, await response.text());
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(cause.name === 'TimeoutError' ? 'timeout' : 'network');
  }
}

function read({ ok, status, headers }, text) {
  let answer = null;
  try { answer = JSON.parse(text); } catch { /* not JSON: the status below decides */ }
  if (ok && answer) return { status, answer };
  const code = answer?.error?.code ?? (status >= 500 ? 'upstream_unavailable' : 'unreadable');
  throw new Failure(code, {
    status, apiMessage: answer?.error?.message, requestId: headers.get('x-request-id'), wait: Number(headers.get('retry-after')),
  });
}

export const send = async (...request) => (await exchange(...request)).answer;

let refreshing = null;

/** One refresh at a time: Supabase Auth treats a refresh token that is used twice as stolen. */
export function refresh() {
  refreshing ??= send('POST', '/api/session', { refresh: true })
    .catch((failure) => { throw [400, 403].includes(failure.status) ? new Failure('unauthorized', { status: 401 }) : failure; })
    .finally(() => { refreshing = null; });
  return refreshing;
}

/** Sends a request as the signed-in user. An expired session is refreshed once. */
export async function ask(...request) {
  try {
    return await exchange(...request);
  } catch (failure) {
    if (failure.status !== 401) throw failure;
    await refresh();
    return exchange(...request);
  }
}

export const api = async (...request) => (await ask(...request)).answer;

export const resource = (kind, id, ...rest) => ['/api', kind, encodeURIComponent(id), ...rest].join('/');
