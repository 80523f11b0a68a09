// The way from the worker to the authorization server, which remembers what was given out: what a row must hold once the worker
// has acknowledged it.
import { startForward } from "./forward.mjs";

const TOKEN_PATH = "/v1/oauth/token";

/** Returns `{ url, ofCode(callbackUrl), ofRefreshToken(token), stop() }`: the grant for a code or a refresh token, if there is one. */
export async function startGrants(target) {
  const byCode = new Map();
  const byRefreshToken = new Map();
  const record = (sent, got) => {
    const grant = JSON.parse(got);
    if (!grant.access_token) return;
    const form = new URLSearchParams(sent);
    if (form.has("code")) byCode.set(form.get("code"), grant);
    else byRefreshToken.set(form.get("refresh_token"), grant);
  };
  const { port, stop } = await startForward(({ url }) => ({ target, onBodies: url === TOKEN_PATH ? record : undefined }));
  return {
    url: `http://${new URL(target).hostname}:${port}`,
    ofCode: (callback) => byCode.get(new URL(callback).searchParams.get("code")),
    ofRefreshToken: (token) => byRefreshToken.get(token),
    stop,
  };
}
