// What a provider says of itself, in whatever JSON can hold, against the real table: it is stored as it was said, or refused with the grant
// revoked (threat model 124). The cases are drawn; a failure names the seed.
import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { after, afterEach, before, describe, it } from "node:test";

import { Random } from "../chaos/random.mjs";
import { listen } from "../stack/listen.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { connect } from "../support/database.mjs";
import { integrationsOf, opened } from "../support/integrations.mjs";
import { logOnFailure } from "../support/log-on-failure.mjs";
import { stack } from "../support/stack.mjs";
import { startWorker } from "../support/worker.mjs";

const CASES = 150;
const AT_ONCE = 5;
/** The database's bound of an account's id and of a name, in characters. */
const MAX = 200;
/** What neither an id nor a name may hold. */
const CONFUSING = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]/u;

// All of these are JSON's own text, so that it says more than a value of JavaScript's could.
const PIECES = ["a", "Z9", "ж", "東", " ", '\\"', "\\\\", "\\/", "\\u0000", "\\u0007", "\\n", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\u202e", "\\u2066", "\\u2028", "\\u200f"];
const PLAIN = ["a", "Z9", "ж", "東", "-", "\\ud83d\\ude00"];
const NUMBERS = ["7", "-0", "0.10", "18446744073709551616", "18446744073709551617", "9007199254740993", "123456789012345678901234567890.10", "1e400", "1e-400"];
const OTHERS = ["null", "true", "{}", "[]"];
/** What the worker's parser takes for the number 7. */
const ALIAS = '{"$serde_json::private::Number":"7"}';
const DEPTHS = [1, 30, 100, 200, 5000];
const UNREADABLE_DEPTH = 200;

/** A member's text, nested as deep as one of `depths` where it is nested. */
function value(random, depths = DEPTHS) {
  const depth = random.pick(depths);
  return random.pick([
    () => text(random, PIECES),
    () => text(random, PLAIN),
    () => random.pick(NUMBERS),
    () => random.pick(OTHERS),
    () => random.pick([`${"[".repeat(depth)}${"]".repeat(depth)}`, `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`]),
  ])();
}

function text(random, pieces) {
  const length = random.pick([0, 1, 5, 40, 120]);
  return `"${Array.from({ length }, () => random.pick(pieces)).join("")}"`;
}

const object = (members) => `{${Object.entries(members).map(([name, text]) => `"${name}":${text}`).join(",")}}`;
const isReadable = (body) => !body.includes("[".repeat(UNREADABLE_DEPTH)) && !body.includes('{"a":'.repeat(UNREADABLE_DEPTH));

/** The text that a member says; undefined where it is no text and no number. */
function said(member) {
  // The parser writes the sign of an exponent out.
  if (NUMBERS.includes(member)) return member.replace(/e(?=\d)/, "e+");
  const parsed = JSON.parse(member);
  return typeof parsed === "string" ? parsed.toWellFormed().trim() : undefined;
}

/** The account that an answer names: `{ id, name }`; undefined where it is to be refused. */
function accountOf({ user_id, preferred_username }) {
  const id = said(user_id);
  if (!id || [...id].length > MAX || CONFUSING.test(id)) return undefined;
  const name = [...(said(preferred_username) ?? "")].filter((c) => !CONFUSING.test(c)).slice(0, MAX).join("").trim();
  return { id, name: name || id };
}

describe("what a provider says", () => {
  const info = stack();
  /** By access token: `{ tokens, userinfo (what that endpoint answers), isRevoked }`. */
  const grants = new Map();
  /** What the token endpoint answers, by code or refresh token. */
  const tokenAnswers = new Map();
  let sql, provider, worker;

  before(async () => {
    sql = connect(info);
    provider = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) body += chunk;
      const form = new URLSearchParams(body);
      const answer = (text) => response.writeHead(200, { "content-type": "application/json" }).end(text);
      if (request.url.endsWith("/token")) return answer(tokenAnswers.get(form.get("code") ?? form.get("refresh_token")));
      if (request.url.endsWith("/revoke")) {
        for (const grant of grants.values()) grant.isRevoked ||= grant.tokens.includes(form.get("token"));
        return answer("{}");
      }
      return answer(grants.get(request.headers.authorization.slice("Bearer ".length)).userinfo);
    });
    const url = await listen(provider);
    worker = await startWorker(info, { SALESFORCE_CLIENT_ID: "client", SALESFORCE_CLIENT_SECRET: "secret", SALESFORCE_BASE_URL: url });
  });
  after(async () => {
    await worker?.stop();
    provider.closeAllConnections();
    provider.close();
    await sql.end();
  });
  afterEach(logOnFailure(() => worker));

  /** A token answer with odd members beside good tokens. */
  function tokens(random, access, refresh) {
    return object({
      access_token: `"${access}"`,
      refresh_token: `"${refresh}"`,
      token_type: '"Bearer"',
      ...(random.next() < 0.5 && { expires_in: value(random) }),
      ...(random.next() < 0.7 && { instance_url: value(random) }),
      scope: value(random),
      odd: random.next() < 0.1 ? ALIAS : value(random),
    });
  }

  /** Connects an account; judges what is stored, then what a refresh leaves there. */
  async function connected(random) {
    const [access, refresh, code] = [`access-${randomUUID()}`, `refresh-${randomUUID()}`, randomUUID()];
    const exchanged = tokens(random, access, refresh);
    const account = { user_id: random.next() < 0.6 ? text(random, PLAIN) : value(random, [1, 30, 100]), preferred_username: value(random, [1, 30, 100]) };
    const userinfo = object({ ...account, odd: value(random) });
    const grant = { tokens: [access, refresh], userinfo, isRevoked: false };
    grants.set(access, grant);
    tokenAnswers.set(code, exchanged);

    const browser = await BrowserSession.signedIn(worker);
    const authorization = new URL(await browser.begin({ integration_type: "salesforce" }));
    const callback = `${authorization.searchParams.get("redirect_uri")}?${new URLSearchParams({ code, state: authorization.searchParams.get("state") })}`;
    const answer = await browser.get(callback);
    const [row] = await integrationsOf(sql, browser.user.id);
    const expected = isReadable(exchanged) && isReadable(userinfo) ? accountOf(account) : undefined;
    const what = `${exchanged.slice(0, 3000)} ${userinfo.slice(0, 3000)}: ${answer.status} ${answer.text}`;
    if (!expected) {
      assert.deepEqual([answer.status, row, grant.isRevoked], [502, undefined, true], what);
      return "refused";
    }
    assert.equal(answer.status, 303, what);
    assert.equal(grant.isRevoked, false, what);
    assert.deepEqual([row.external_account_id, row.name], [expected.id, expected.name], what);
    assert.equal((await opened(info, row)).access_token, access, what);

    const next = `access-${randomUUID()}`;
    const refreshed = tokens(random, next, refresh);
    tokenAnswers.set(refresh, refreshed);
    const { status } = await browser.post(`/api/integrations/${row.id}/refresh`, {});
    const [after] = await integrationsOf(sql, browser.user.id);
    const isGood = isReadable(refreshed);
    assert.deepEqual([status, (await opened(info, after)).access_token], isGood ? [200, next] : [502, access], `${refreshed.slice(0, 3000)}: ${status}`);
    return isGood ? "refreshed" : "connected";
  }

  it("what a provider says is stored as it was said, or rejected with the grant revoked", async (context) => {
    const seed = Number(process.env.SEED ?? randomInt(2 ** 32));
    const random = new Random(seed);
    const found = { refused: 0, connected: 0, refreshed: 0 };
    try {
      for (let n = 0; n < CASES; n += AT_ONCE) {
        const ends = await Promise.all(Array.from({ length: AT_ONCE }, () => connected(random.fork())));
        for (const end of ends) found[end] += 1;
      }
    } catch (error) {
      error.message = `seed ${seed}: ${error.message}`;
      throw error;
    }
    context.diagnostic(`seed ${seed}: ${JSON.stringify(found)}`);
    assert.ok(Object.values(found).every((count) => count > 0), "cases of each kind");
  });
});
