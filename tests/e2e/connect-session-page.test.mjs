// The page of a connect session, and the example application around it, in a browser. `SCREENSHOTS=<folder>` saves the views.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

import { startExample } from "../../examples/connect/server.mjs";
import { freePort } from "../stack/listen.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { Backend } from "../support/connect-sessions.mjs";
import { assertSound, LOOKS, pageFixture } from "../support/page-fixture.mjs";
import { consentAt } from "../support/page.mjs";

describe("the example application", { concurrency: 2 }, () => {
  let port;
  before(async () => {
    port = await freePort();
  });
  const fixture = pageFixture(({ info }) => ({
    RETURN_ORIGINS: `http://localhost:${port}`, PLAINTEXT_CREDENTIALS: "true", CREDENTIAL_TYPES: "auth0", AUTH0_BASE_URL: info.authorization_server_url,
  }));
  let owner, backend, example;
  before(async () => {
    owner = await BrowserSession.signedIn(fixture.worker);
    backend = await Backend.of(owner);
    const { key: serviceKey, organization } = backend;
    const provider = fixture.info.authorization_server_url;
    example = await startExample({ worker: fixture.worker.url, serviceKey, organization, provider, port, host: "127.0.0.1" });
  });
  after(() => example?.stop());

  /** A window at the example, signed in there alone. */
  async function windowOf(t, options) {
    const window = await fixture.open(t, options);
    const { page } = window;
    const user = `Ada ${randomUUID().slice(0, 8)}`;
    await page.goto(example.url);
    await page.getByLabel("Your name").fill(user);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.getByText(`You are ${user}`).waitFor();
    return { ...window, user };
  }
  const start = (over) => backend.start({ return_url: `${example.url}/connected`, ...over });

  it("a user of the example alone connects an account, its backend reads a live token and calls the provider, and the trail names the key", async (t) => {
    const { page, context, user, errors } = await windowOf(t);
    await page.getByRole("button", { name: "Connect an account" }).click();
    await page.getByRole("heading", { name: "Connect an account" }).waitFor();
    await page.getByText(`localhost:${port}`, { exact: true }).waitFor();
    await page.getByText(user, { exact: true }).waitFor();
    assert.match(page.url(), /\/connect\?session=[0-9a-f-]{36}$/, "the link's token has left the address");
    await page.getByRole("button", { name: "Continue with Supabase" }).click();
    const login = `example ${randomUUID()}`;
    await consentAt(page, login);
    await page.getByText(`${login} is connected.`).waitFor();
    await page.getByRole("link", { name: "Your accounts" }).click();
    await page.getByRole("button", { name: `Use ${login}` }).click();
    await page.getByRole("list", { name: "Projects" }).getByText(login).waitFor();
    assert.deepEqual(errors(), []);
    assert.ok(!(await context.cookies()).some(({ name }) => name.startsWith("__Host-session")), "no session of the project");

    const [row] = await fixture.sql`select id from public.integrations where organization_id = ${backend.organization} and name = ${login}`;
    const { events } = (await owner.get(`/api/integrations/${row.id}/events`)).expect(200).json;
    assert.deepEqual(
      events.map(({ action, actor, details }) => [action, actor, details.name, details.external_user_id]),
      [["opened", "service_key", backend.name, undefined], ["connected", "service_key", backend.name, `user:${user}`]],
    );
  });

  it("a user whose answer was lost on the way returns once more and has the account", async (t) => {
    const { page } = await windowOf(t);
    await page.getByRole("button", { name: "Connect an account" }).click();
    await page.getByRole("button", { name: "Continue with Supabase" }).click();
    const login = `again ${randomUUID()}`;
    await consentAt(page, login);
    await page.getByText(`${login} is connected.`).waitFor();
    // The worker has completed the session, as far as the browser knows it has not.
    await page.reload();
    await page.getByText(`${login} is connected.`).waitFor();
    await page.getByRole("link", { name: "Your accounts" }).click();
    assert.equal(await page.getByRole("button", { name: `Use ${login}` }).count(), 1);
  });

  it("the popup is told by polling, although the worker's page cuts it off from its opener", async (t) => {
    const { page, context, errors } = await windowOf(t);
    const opening = context.waitForEvent("page");
    await page.getByRole("button", { name: "Connect in a popup" }).click();
    const popup = await opening;
    await popup.getByRole("button", { name: "Continue with Supabase" }).click();
    const login = `popup ${randomUUID()}`;
    await consentAt(popup, login);
    await popup.getByText(`${login} is connected.`).waitFor();
    await page.getByRole("list", { name: "Accounts" }).getByText(login).first().waitFor();
    assert.deepEqual(errors(), []);
  });

  it("a popup that is canceled says so", async (t) => {
    const { page, context } = await windowOf(t);
    const opening = context.waitForEvent("page");
    await page.getByRole("button", { name: "Connect in a popup" }).click();
    const popup = await opening;
    await popup.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("status").getByText("Nothing was connected: declined.").waitFor();
  });

  // Threat model 204.
  it("a victim who follows a forwarded link to its end connects nothing", async (t) => {
    const [attacker, victim] = [await windowOf(t), await windowOf(t)];
    const link = await attacker.page.evaluate(async () =>
      (await (await fetch("/connect/start", { method: "POST", body: "{}" })).json()).url);
    const before_ = await fixture.sql`select count(*)::int as n from public.integrations where organization_id = ${backend.organization}`;
    await victim.page.goto(link);
    await victim.page.getByText(attacker.user, { exact: true }).waitFor();
    await victim.page.getByRole("button", { name: "Continue with Supabase" }).click();
    const login = `victim ${randomUUID()}`;
    await consentAt(victim.page, login);
    await victim.page.getByText("You did not start this connection here.").waitFor();
    const stolen = await fixture.sql`select id from public.integrations where organization_id = ${backend.organization} and name = ${login}`;
    assert.equal(stolen.length, 0, `of ${before_[0].n} before`);
    // The attacker's own browser has no code.
    const id = new URL(victim.page.url()).searchParams.get("session");
    await attacker.page.goto(`${example.url}/connected?session=${id}&code=${"A".repeat(43)}`);
    await attacker.page.getByText("wrong_completion").waitFor();
  });

  // Threat model 205.
  it("a link that somebody else opened says so to its user", async (t) => {
    const [thief, { page }] = [await windowOf(t), await windowOf(t)];
    const session = await start();
    await thief.page.goto(session.url);
    await thief.page.getByRole("button", { name: "Continue with Supabase" }).waitFor();
    await page.goto(session.url);
    await page.getByText("This link was opened before").waitFor();
    await page.goto(`${fixture.worker.url}/connect?session=${session.id}`);
    await page.getByText("This link was opened in another browser.").waitFor();
    // The same browser may reload, as its cookie binds the session to it.
    await thief.page.reload();
    await thief.page.getByRole("button", { name: "Continue with Supabase" }).waitFor();
  });

  it("a user enters credentials, and a wrong one is said at the form", async (t) => {
    const { page, errors } = await windowOf(t);
    const { client_id, client_secret } = fixture.info.machine;
    const session = await start({ integration_types: ["auth0"], external_user_name: "Ada" });
    await page.goto(session.url);
    await page.getByRole("button", { name: "Continue with Auth0" }).click();
    await page.getByRole("button", { name: "Connect" }).click();
    await page.getByText("This field is required.").first().waitFor();
    const labels = await page.locator("#credentials-fields label").allTextContents();
    const values = [`t${randomUUID().slice(0, 8)}`, client_id, "wrong"];
    for (const [at, label] of labels.entries()) await page.getByLabel(label, { exact: true }).fill(values[at]);
    await page.getByRole("button", { name: "Connect" }).click();
    await page.getByRole("alert").getByText("The provider rejects these credentials").waitFor();
    await page.getByLabel(labels[2], { exact: true }).fill(client_secret);
    await page.getByRole("button", { name: "Connect" }).click();
    await page.waitForURL(/\/connected\?session=/);
    const code = new URL(page.url()).searchParams.get("code");
    const { integration } = (await backend.complete(session, code)).expect(200).json;
    assert.deepEqual([integration.integration_type, integration.status, integration.external_user_id], ["auth0", "active", session.user]);
    assert.deepEqual(errors().filter((error) => !/ (422|403) /.test(error)), []);
  });

  it("a user whose grant covers several accounts chooses one", async (t) => {
    const { page } = await windowOf(t);
    await page.getByRole("button", { name: "Connect an account" }).click();
    await page.getByRole("button", { name: "Continue with Supabase" }).click();
    await consentAt(page, `two-${randomUUID()}`);
    await page.getByRole("heading", { name: "Choose an account" }).waitFor();
    await page.getByRole("radio").nth(1).check();
    await page.getByRole("button", { name: "Connect" }).click();
    await page.getByText("is connected.").waitFor();
  });

  for (const [look, options] of LOOKS) {
    it(`the page of a session is accessible and fits the screen (${look})`, async (t) => {
      const window = await fixture.open(t, options);
      const { page } = window;
      const session = await start({ integration_types: ["supabase", "auth0"], external_user_name: "Ada Lovelace" });
      await page.goto(session.url);
      await page.getByRole("button", { name: "Continue with Auth0" }).waitFor();
      await assertSound(window, `${look}-session`);
      await page.getByRole("button", { name: "Continue with Auth0" }).click();
      await page.getByRole("heading", { name: "Connect Auth0" }).waitFor();
      await assertSound(window, `${look}-session-credentials`);
      await page.goto(`${fixture.worker.url}/connect#${"A".repeat(43)}`);
      await page.getByRole("heading", { name: "Nothing to connect here" }).waitFor();
      await assertSound(window, `${look}-session-over`);
    });
  }

  it("the helper has no more than 3 KB", () => {
    const file = fileURLToPath(new URL("../../packages/connect/src/index.js", import.meta.url));
    assert.ok(statSync(file).size <= 3 * 1024);
  });
});
