// An application that lets its own users connect accounts: a page and this server, without a framework. README.md says how to run it.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

import { connectedPage, failurePage, homePage, signInPage, usedPage } from "./pages.mjs";
import { userSessions } from "./users.mjs";
import { WorkerError, workerClient } from "./worker.mjs";

const BODY_MAX = 4096;
const TYPES = ["supabase"];
const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

/**
 * Starts the application. `worker` is the worker's URL, `serviceKey` and `organization` are the backend's, `provider` is the URL of the provider's
 * API. Returns `{ url, stop() }`.
 */
export async function startExample({ worker, serviceKey, organization, provider, port = 4000, host = "localhost" }) {
  const origin = `http://localhost:${port}`;
  const client = workerClient({ url: worker, serviceKey, organization, returnUrl: `${origin}/connected` });
  const sessions = userSessions();
  const files = { "/page.js": read("./page.js"), "/sealed-connect.js": read("../../packages/connect/src/index.js") };

  const routes = {
    "GET /": ({ session }) => html(session ? homePage(session) : signInPage()),
    "POST /sign-in": ({ form }) => {
      const name = form.get("name")?.trim() ?? "";
      if (!/^[\p{L}\p{N} ._-]{1,50}$/u.test(name)) return html(failurePage("A name has letters, digits, blanks, dots and hyphens."), 400);
      return { status: 303, headers: { location: "/", "set-cookie": sessions.signIn(name) } };
    },
    "POST /connect/start": async ({ session }) => {
      const { id, url, verifier } = await client.start(session.user, TYPES);
      session.connecting = { id, verifier };
      return json({ url });
    },
    "GET /connect/status": async ({ session }) => {
      if (!session.connecting) return json({ state: "expired" });
      const { state, failure } = await client.show(session.connecting.id);
      return json({ state, failure });
    },
    "GET /connected": async ({ session, query }) => {
      const { connecting } = session;
      // A link may have been forwarded: what comes back counts only if this very user started it.
      if (!connecting || query.get("session") !== connecting.id) {
        return html(failurePage("You did not start this connection here. Nothing was connected."), 403);
      }
      if (query.has("error")) return html(failurePage(`Nothing was connected: ${query.get("error")}.`));
      const { integration } = await client.complete(connecting, query.get("code"));
      session.integrations = [...session.integrations.filter(({ id }) => id !== integration.id), integration];
      return html(connectedPage(integration));
    },
    "POST /use": async ({ session, form }) => {
      // Only what this user connected, whatever the form says.
      const integration = session.integrations.find(({ id }) => id === form.get("id"));
      if (!integration) return html(failurePage("No such account."), 404);
      const token = await client.accessToken(integration.id);
      const answer = await fetch(new URL("/v1/projects", provider), { headers: { authorization: `Bearer ${token}` }, signal: AbortSignal.timeout(10_000) });
      if (!answer.ok) return html(failurePage(`The provider answered ${answer.status}.`), 502);
      return html(usedPage(await answer.json()));
    },
  };
  const PUBLIC = ["GET /", "POST /sign-in"];

  async function respond(request) {
    const { pathname, searchParams: query } = new URL(request.url, origin);
    if (request.method === "GET" && Object.hasOwn(files, pathname)) return { headers: { "content-type": "text/javascript" }, body: files[pathname] };
    const name = `${request.method} ${pathname}`;
    if (!Object.hasOwn(routes, name)) return html(failurePage("No such page."), 404);
    // Another site's page could send a form with this user's cookie.
    if (request.method === "POST" && request.headers.origin !== origin) return html(failurePage("That came from another site."), 403);
    const session = sessions.of(request);
    if (!session && !PUBLIC.includes(name)) return html(failurePage("Sign in first."), 401);
    const form = request.method === "POST" ? new URLSearchParams(await bodyOf(request)) : undefined;
    return routes[name]({ session, query, form });
  }

  const server = createServer(async (request, response) => {
    const answer = await respond(request).catch((failure) => {
      const text = failure instanceof WorkerError ? `${failure.message} (${failure.code})` : "The application failed.";
      if (!(failure instanceof WorkerError)) console.error(failure);
      return html(failurePage(text), 502);
    });
    const { status = 200, headers = {}, body = "" } = answer;
    response.writeHead(status, {
      "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'",
      // Not no-referrer: a browser would send the origin "null" with this page's own forms.
      "referrer-policy": "same-origin", "cache-control": "no-store", "x-content-type-options": "nosniff", ...headers,
    });
    response.end(body);
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  const stop = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { url: origin, stop };
}

const html = (body, status = 200) => ({ status, headers: { "content-type": "text/html; charset=utf-8" }, body });
const json = (value) => ({ headers: { "content-type": "application/json" }, body: JSON.stringify(value) });

async function bodyOf(request) {
  let body = "";
  for await (const chunk of request) {
    body += chunk;
    if (body.length > BODY_MAX) throw new Error("the body is too large");
  }
  return body;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const required = (name) => {
    if (process.env[name]) return process.env[name];
    console.error(`error: ${name} is not set\nhint: examples/connect/README.md says how to run this`);
    return process.exit(2);
  };
  const { url } = await startExample({
    worker: process.env.WORKER_URL ?? "http://localhost:3000",
    serviceKey: required("SERVICE_KEY"),
    organization: required("ORGANIZATION_ID"),
    provider: required("PROVIDER_URL"),
  });
  console.log(`the example is at ${url}`);
}
