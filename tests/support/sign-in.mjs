// What users do to sign in without a password.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";

/** The codes that Supabase Auth has sent to this address, the newest first. */
export const codesSentTo = (info, email) => sentTo(info, email, /\b\d{6}\b/);

/** The tokens of the links in the same e-mails. */
export const linkTokensSentTo = (info, email) => sentTo(info, email, /(?<=[?&]token=)[\w-]+/);

function sentTo(info, email, pattern) {
  const file = path.join(info.mail, email);
  if (!existsSync(file)) return [];
  const messages = readFileSync(file, "utf8").trim().split("\n").map((line) => JSON.parse(line));
  return messages.map(({ text }) => pattern.exec(text)[0]).reverse();
}

/** From the authorization URL through the provider's page, as a browser does: the callback URL of the worker, which is still to be opened. */
export async function signInAtProvider(url, email, decision = "authorize") {
  const next = async (at, init) => {
    const response = await fetch(at, { redirect: "manual", ...init });
    if (![302, 303].includes(response.status)) throw new Error(`${new URL(at).origin} answered ${response.status}: ${await response.text()}`);
    return new URL(response.headers.get("location"), at).href;
  };
  const page = await next(url);
  const callback = await next(page, { method: "POST", body: new URLSearchParams({ email, decision }) });
  return next(callback);
}
