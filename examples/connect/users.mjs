// The example's own users: whoever gives a name is that user. A real application has its sign-in here.
import { randomBytes } from "node:crypto";

const COOKIE = "example-session";
const SESSIONS_MAX = 1000;

/** The sessions, each `{ user, connecting, integrations }`, in memory. */
export function userSessions() {
  const sessions = new Map();
  return {
    /** The session of a request, or undefined. */
    of(request) {
      const pairs = (request.headers.cookie ?? "").split(";").map((pair) => pair.trim().split("="));
      return sessions.get(pairs.find(([name]) => name === COOKIE)?.[1]);
    },
    /** Signs somebody in: the Set-Cookie value. */
    signIn(name) {
      if (sessions.size >= SESSIONS_MAX) sessions.delete(sessions.keys().next().value);
      const id = randomBytes(32).toString("base64url");
      sessions.set(id, { user: { id: `user:${name}`, name }, connecting: null, integrations: [] });
      // Lax: the browser comes back from the worker by a navigation from another site.
      return `${COOKIE}=${id}; Path=/; HttpOnly; SameSite=Lax`;
    },
  };
}
