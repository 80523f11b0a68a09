// Threat model 1 to 4 and 6: a callback counts once, in the browser and for the user that began it. The authorization server is
// asked for tokens only after all of that is settled.
import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { describe, it } from "node:test";

import { BrowserSession } from "../support/browser-session.mjs";
import { CookieJar } from "../support/cookies.mjs";
import { held } from "../support/faults.mjs";
import { isAlive, takesAccessToken } from "../support/grants.mjs";
import { integrationsOf, unswept } from "../support/integrations.mjs";
import { oauthFixture } from "../support/oauth.mjs";
import { createOrganization } from "../support/users.mjs";

const PARALLEL = 50;

describe("a callback belongs to who began it", { concurrency: true }, () => {
  const fixture = oauthFixture();
  const signedIn = () => BrowserSession.signedIn(fixture.worker);
  const nobody = () => new BrowserSession(fixture.worker);
  /** A browser that sends this Cookie header, whatever it is told to keep. */
  const withCookies = (header) => {
    const jar = new CookieJar();
    jar.header = () => header;
    return new BrowserSession(fixture.worker, jar);
  };
  const connectionsOf = async (...visitors) => {
    const rows = await Promise.all(visitors.map(({ user }) => integrationsOf(fixture.sql, user.id)));
    return rows.map((list) => list.length);
  };

  // Threat model 1.
  describe("a callback without state and cookie", { concurrency: true }, () => {
    const flowCookie = (state) => `__Host-flow-${createHash("sha256").update(state).digest("hex").slice(0, 16)}`;
    for (const [what, query, cookie, signedOut = 400] of [
      ["no state, no cookie", (code) => ({ code })],
      ["an empty state", (code) => ({ code, state: "" })],
      ["no state, but the cookie that an empty one would have, empty", (code) => ({ code }), `${flowCookie("")}=`],
      ["an empty state with its cookie, empty", (code) => ({ code, state: "" }), `${flowCookie("")}=`],
      ["an empty state with its cookie, filled", (code) => ({ code, state: "" }), `${flowCookie("")}=${"A".repeat(43)}`],
      ["a state that is none of ours", (code) => ({ code, state: "undefined" }), `${flowCookie("undefined")}=${"A".repeat(43)}`],
      // Its form is right, so the session is looked at first.
      ["a state that nobody was given", (code) => ({ code, state: "A".repeat(43) }), `${flowCookie("A".repeat(43))}=${"B".repeat(43)}`, 401],
      ["nothing at all", () => ({})],
    ]) {
      // Threat model 1.
      it(`a callback is answered 400 without asking the provider: ${what}`, async () => {
        const browser = await signedIn();
        const code = `code-${randomUUID()}`;
        const session = browser.jar.header(fixture.worker.url);
        for (const path of ["/api/auth/callback/supabase", "/api/auth/callback"]) {
          const callback = `${path}?${new URLSearchParams(query(code))}`;
          (await withCookies(cookie).get(callback)).expect(signedOut);
          (await withCookies([session, cookie].filter(Boolean).join("; ")).get(callback)).expect(400);
        }
        assert.equal(fixture.server.count(({ body }) => body.includes(code)), 0, "hits of the token endpoint");
        assert.deepEqual(await connectionsOf(browser), [0]);
      });
    }
  });

  // Threat model 2.
  it("a callback with another browser's cookies is answered 403 without asking the provider, and its owner can still finish", async () => {
    const owner = await signedIn();
    const callback = await owner.consent(`binding-${randomUUID()}`);

    const freshBrowser = nobody();
    await freshBrowser.signIn(owner.user);
    const withFlowOfItsOwn = nobody();
    await withFlowOfItsOwn.signIn(owner.user);
    await withFlowOfItsOwn.begin();
    const [name] = owner.jar.header(fixture.worker.url).match(/__Host-flow-[0-9a-f]+/);
    const forging = withCookies(`${freshBrowser.jar.header(fixture.worker.url)}; ${name}=${randomBytes(32).toString("base64url")}`);
    for (const other of [freshBrowser, withFlowOfItsOwn, forging]) {
      (await other.get(callback)).expect(403, "flow_foreign");
    }
    (await nobody().get(callback)).expect(403, "flow_foreign");
    assert.equal(fixture.exchanges(callback), 0, "hits of the token endpoint");
    assert.deepEqual(await connectionsOf(owner), [0]);

    (await owner.get(callback)).expect(303);
    assert.equal(fixture.exchanges(callback), 1);
    assert.deepEqual(await connectionsOf(owner), [1]);
  });

  // Threat model 3.
  it("a callback of A's authorization URL to which B consented is answered 403, without a request or a row", async () => {
    const [a, b] = await Promise.all([signedIn(), signedIn()]);
    // The login at the authorization server is B's, and so is the browser in which the callback arrives.
    const callback = await a.consent(`victim-${randomUUID()}`);
    (await b.get(callback)).expect(403, "flow_foreign");
    assert.equal(fixture.exchanges(callback), 0, "hits of the token endpoint");
    assert.deepEqual(await connectionsOf(a, b), [0, 0]);
  });

  // Threat model 3.
  it("a callback in a browser in which another user has signed in is answered 403, without a request or a row", async () => {
    const [a, b] = await Promise.all([signedIn(), signedIn()]);
    const callback = await a.consent(`shared-${randomUUID()}`);
    const sharedBrowser = new BrowserSession(fixture.worker, a.jar.clone());
    await sharedBrowser.signIn(b.user);
    (await sharedBrowser.get(callback)).expect(403, "flow_foreign");
    assert.equal(fixture.exchanges(callback), 0, "hits of the token endpoint");
    assert.deepEqual(await connectionsOf(a, b), [0, 0]);
  });

  // Threat model 3.
  it("a callback after signing out finishes nothing until the user signs in again", async () => {
    const browser = await signedIn();
    const callback = await browser.consent(`out-${randomUUID()}`);
    const { user } = browser;
    (await browser.delete("/api/session")).expect(200);
    (await browser.get(callback)).expect(401, "unauthorized");
    assert.equal(fixture.exchanges(callback), 0, "hits of the token endpoint");
    await browser.signIn(user);
    (await browser.get(callback)).expect(303);
  });

  // Threat model 4.
  it("the same callback 50 times at once makes one token request and one row, and the grant stays valid", async () => {
    const browser = await signedIn();
    const callback = await browser.consent(`parallel-${randomUUID()}`);
    const tabs = Array.from({ length: PARALLEL }, () => new BrowserSession(fixture.worker, browser.jar.clone()));
    const answers = await Promise.all(tabs.map((tab) => tab.get(callback)));

    const outcomes = answers.map(({ status, text }) => (status === 303 ? "303" : `${status} ${JSON.parse(text).error.code}`));
    const losers = Array(PARALLEL - 1).fill("400 flow_unknown");
    assert.deepEqual(outcomes.sort(), ["303", ...losers]);
    assert.equal(fixture.exchanges(callback), 1, "hits of the token endpoint");
    assert.deepEqual(await connectionsOf(browser), [1]);
    // A code that comes twice makes an authorization server take the whole grant back (RFC 6749, 4.1.2).
    assert.equal(await takesAccessToken(fixture.info, fixture.grant(callback).access_token), true);

    (await browser.get(callback)).expect(400, "flow_unknown");
    assert.equal(fixture.exchanges(callback), 1, "hits of the token endpoint after one more");
  });

  // Threat model 4.
  it("a callback after ten minutes is answered 400, without a request or a row", async () => {
    const browser = await signedIn();
    await unswept(async () => {
      const callback = await browser.consent(`late-${randomUUID()}`);
      await fixture.sql`update public.oauth_transactions set expires_at = now() where user_id = ${browser.user.id}`;
      (await browser.get(callback)).expect(400, "flow_unknown");
      assert.equal(fixture.exchanges(callback), 0, "hits of the token endpoint");
      return fixture.sql`select id from public.oauth_transactions where user_id = ${browser.user.id}`;
    });
    assert.deepEqual(await connectionsOf(browser), [0]);
  });

  // Threat model 6.
  it("a callback of a member who was removed is answered 403, without a request or a row", async () => {
    const { member, organization_id } = await memberOfAnOrganization();
    const callback = await member.consent(`removed-${randomUUID()}`, { organization_id });
    await removeFrom(organization_id, member);
    (await member.get(callback)).expect(403, "not_a_member");
    assert.equal(fixture.exchanges(callback), 0, "hits of the token endpoint");
    assert.deepEqual(await integrationsOf(fixture.sql, organization_id), []);
    assert.deepEqual(await connectionsOf(member), [0]);

    // Let in again, the member cannot use what was consumed.
    await fixture.sql`insert into public.organization_members ${fixture.sql({ organization_id, user_id: member.user.id })}`;
    assert.notEqual((await member.get(callback)).status, 303);
    assert.deepEqual(await integrationsOf(fixture.sql, organization_id), []);
  });

  for (const [accounts, login] of [["one account", "during"], ["two accounts", "two"]]) {
    // Threat model 6.
    it(`a callback of a member who is removed during the exchange, for ${accounts}, is answered 403 without a row, and the grant is revoked`, async () => {
      const { member, organization_id } = await memberOfAnOrganization();
      const callback = await member.consent(`${login}-${randomUUID()}`, { organization_id });
      // The tokens are there, and the worker asks whose they are.
      const { behaviour, arrived, release } = held();
      fixture.server.fault(fixture.identityOf(callback), behaviour);

      const answering = member.get(callback);
      await arrived;
      await removeFrom(organization_id, member);
      release();
      (await answering).expect(403, "not_a_member");
      assert.deepEqual(await integrationsOf(fixture.sql, organization_id), []);
      assert.equal(await isAlive(fixture.worker.info, fixture.grant(callback)), false);
    });
  }

  async function memberOfAnOrganization() {
    const [member, colleague] = await Promise.all([signedIn(), signedIn()]);
    return { member, organization_id: await createOrganization(fixture.sql, [member.user, colleague.user]) };
  }

  function removeFrom(organization, { user }) {
    return fixture.sql`delete from public.organization_members where organization_id = ${organization} and user_id = ${user.id}`;
  }
});
