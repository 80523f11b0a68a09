// What the local stack offers beyond Supabase's: the type that a newcomer connects with credentials.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";

import { developerSettings } from "../stack/settings.mjs";
import { BrowserSession } from "../support/browser-session.mjs";
import { stack } from "../support/stack.mjs";
import { startWorker } from "../support/worker.mjs";

const info = stack();
let worker;
before(async () => {
  worker = await startWorker(info, developerSettings(info));
});
after(() => worker?.stop());

it("a developer's worker connects Auth0 with the stack's machine: checked, refreshed, and refused with a wrong secret", async () => {
  const browser = await BrowserSession.signedIn(worker);
  const { client_id, client_secret } = info.machine;
  const connect = (secret) => browser.post("/api/integrations", {
    integration_type: "auth0", fields: { tenant: "demo", client_id, client_secret: secret },
  });
  (await connect("wrong")).expect(422, "credentials_refused");
  const { id, name } = (await connect(client_secret)).expect(201).json;
  assert.equal(name, "Local tenant");
  assert.equal((await browser.post(`/api/integrations/${id}/check`, {})).expect(200).json.status, "active");
  assert.equal((await browser.post(`/api/integrations/${id}/refresh`, {})).expect(200).json.status, "active");
  assert.equal((await browser.delete(`/api/integrations/${id}`)).expect(200).json.revoked, "unsupported");
});
