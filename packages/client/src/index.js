/** An answer that is an error. `code` is stable; `retryAfter` is in seconds, where the API says when to try again. */
export class ApiError extends Error {
  constructor(status, { code, message }, headers) {
    super(message);
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.requestId = headers.get('x-request-id');
    this.retryAfter = headers.has('retry-after') ? Number(headers.get('retry-after')) : null;
  }
}

/** A client of the API at `url`, with a service key or a user's access token as `token`. */
export function createClient({ url, token, fetch = globalThis.fetch }) {
  return {
    async request(method, path, { params = {}, body } = {}) {
      const target = new URL(path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(params.path[name])), url);
      for (const [name, value] of Object.entries(params.query ?? {})) {
        if (value !== undefined) target.searchParams.set(name, value);
      }
      const headers = { accept: 'application/json', ...(token && { authorization: `Bearer ${token}` }) };
      // A route that reads no body still expects JSON where a browser's cookie authenticates.
      const hasBody = !['GET', 'DELETE'].includes(method);
      if (hasBody) headers['content-type'] = 'application/json';
      const answer = await fetch(target, { method, headers, body: hasBody ? JSON.stringify(body ?? {}) : undefined, redirect: 'error' });
      const text = await answer.text();
      const isJson = answer.headers.get('content-type')?.startsWith('application/json');
      const content = isJson ? JSON.parse(text) : text;
      if (answer.ok) return content;
      const error = (isJson && content.error) || { code: 'unknown', message: `the answer has the status ${answer.status}` };
      throw new ApiError(answer.status, error, answer.headers);
    },
  };
}
