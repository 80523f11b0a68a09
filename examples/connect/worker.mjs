// What the example's backend asks of the worker, with its service key.
import { createHash, randomBytes } from "node:crypto";

/** An error of the worker's API: its `code` is one of docs/api.md. */
export class WorkerError extends Error {
  constructor(status, { code = "unreadable", message = "" } = {}) {
    super(message);
    Object.assign(this, { status, code });
  }
}

export function workerClient({ url, serviceKey, organization, returnUrl }) {
  async function ask(method, path, body) {
    const response = await fetch(new URL(path, url), {
      method,
      headers: { authorization: `Bearer ${serviceKey}`, ...(body && { "content-type": "application/json" }) },
      body: body && JSON.stringify(body),
      signal: AbortSignal.timeout(30_000),
    });
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) throw new WorkerError(response.status, answer.error);
    return answer;
  }

  return {
    /** Starts a session: its `id` and `url`, and the `verifier`, which stays here. */
    async start(user, types) {
      const verifier = randomBytes(32).toString("base64url");
      const { id, url: link } = await ask("POST", "/api/connect-sessions", {
        organization_id: organization,
        external_user_id: user.id,
        external_user_name: user.name,
        integration_types: types,
        return_url: returnUrl,
        code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      });
      return { id, url: link, verifier };
    },
    show: (id) => ask("GET", `/api/connect-sessions/${id}`),
    /** Completes a session. Where the answer was lost, or an earlier one, the session itself says what it connected. */
    async complete({ id, verifier }, code) {
      try {
        return await ask("POST", `/api/connect-sessions/${id}/complete`, { code, code_verifier: verifier });
      } catch (failure) {
        if (failure instanceof WorkerError && failure.code !== "connect_session_completed") throw failure;
        const session = await this.show(id);
        if (!session.integration) throw failure;
        return session;
      }
    },
    /** A live access token. It needs PLAINTEXT_CREDENTIALS; without it, ask for the sealed form and open that. */
    async accessToken(integration) {
      const { credential } = await ask("POST", `/api/integrations/${integration}/credential`, { form: "plain" });
      return credential.access_token;
    },
  };
}
