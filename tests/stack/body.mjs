// The body of a request to a server of the stack.

/** Reads it as text, of at most `limit` characters. */
export async function readBody(request, limit = 64 * 1024) {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) {
    body += chunk;
    if (body.length > limit) throw new Error("the body is too large");
  }
  return body;
}
