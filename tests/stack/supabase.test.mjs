// What the stack gives out for a Supabase project behaves like one, seen by Supabase's own client.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createClient } from "@supabase/supabase-js";
import { createRemoteJWKSet, jwtVerify } from "jose";

import { connect, createDatabase } from "../support/database.mjs";
import { stack } from "../support/stack.mjs";
import { signES256, signHS256, tokensWithWrongSignatures, userClaims } from "../support/tokens.mjs";
import { createOrganization, signIn, signUp, supabase } from "../support/users.mjs";

const BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

const info = stack();
const sql = connect(info);
let user;
let organization;

before(async () => {
  user = await signUp(info);
  organization = await createOrganization(sql, [user], "admin");
});
after(() => sql.end());

/** A user's memberships, straight from PostgREST by the gateway: who reads is decided by auth.uid(). */
function memberships(token, headers = {}) {
  return fetch(`${info.supabase_url}/rest/v1/organization_members?select=organization_id,user_id`, {
    headers: { apikey: info.publishable_key, ...(token && { authorization: `Bearer ${token}` }), ...headers },
  });
}

for (const [kind, name] of [["old", "anon_key"], ["new", "publishable_key"]]) {
  test(`supabase-js signs up, in, on and out with the ${kind} public key`, async () => {
    const client = createClient(info.supabase_url, info[name], { auth: { persistSession: false } });
    const credentials = { email: `${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() };
    const signedUp = await client.auth.signUp(credentials);
    assert.equal(signedUp.error, null);
    const signedIn = await client.auth.signInWithPassword(credentials);
    assert.equal(signedIn.data.user.id, signedUp.data.user.id);
    const refreshed = await client.auth.refreshSession();
    assert.equal(refreshed.error, null);
    assert.notEqual(refreshed.data.session.refresh_token, signedIn.data.session.refresh_token);
    assert.equal((await client.auth.getUser()).data.user.email, credentials.email);
    assert.equal((await client.auth.signOut()).error, null);
    const again = await client.auth.refreshSession(refreshed.data.session);
    assert.equal(again.data.session, null);
  });
}

test("a wrong password is rejected", async () => {
  const { error } = await supabase(info).auth.signInWithPassword({ email: user.email, password: "wrong" });
  assert.equal(error.code, "invalid_credentials");
});

test("user tokens are ES256 under the project's JWKS, with Supabase Auth's claims", async () => {
  const jwks = createRemoteJWKSet(new URL(`${info.supabase_url}/auth/v1/.well-known/jwks.json`));
  const { payload, protectedHeader } = await jwtVerify(user.access_token, jwks, {
    issuer: `${info.supabase_url}/auth/v1`,
    audience: "authenticated",
  });
  assert.equal(protectedHeader.alg, "ES256");
  assert.equal(payload.sub, user.id);
  assert.equal(payload.role, "authenticated");
  assert.equal(payload.is_anonymous, false);
  assert.equal(payload.email, user.email);
});

test("PostgREST knows the user by auth.uid(), and another one sees nothing of it", async () => {
  const { data } = await supabase(info, user).from("organization_members").select("organization_id, user_id");
  assert.deepEqual(data, [{ organization_id: organization, user_id: user.id }]);
  const other = await supabase(info, await signUp(info)).from("organization_members").select("organization_id");
  assert.deepEqual(other.data, []);
});

test("PostgREST takes tokens of both ways to sign, and none that is signed otherwise", async () => {
  for (const sign of [signES256, signHS256]) {
    const response = await memberships(await sign(info, userClaims(info, user)));
    assert.equal(response.status, 200);
    assert.equal((await response.json()).length, 1);
  }
  for (const [name, token] of await tokensWithWrongSignatures(info, user, "http://localhost")) {
    // PostgREST 12 looks at no kid: it tries every key.
    if (name === "an unknown kid") continue;
    assert.equal((await memberships(token)).status, 401, name);
  }
});

test("a session that was refreshed and one more of the same user are both the user's", async () => {
  const { access_token } = await signIn(info, user);
  assert.equal((await (await memberships(access_token)).json()).length, 1);
});

test("the gateway demands a key that it knows", async () => {
  for (const headers of [{ apikey: "" }, { apikey: "sb_publishable_unknown" }, { apikey: user.access_token }]) {
    assert.equal((await memberships(user.access_token, headers)).status, 401);
  }
  const response = await fetch(`${info.supabase_url}/rest/v1/organization_members`);
  assert.equal(response.status, 401);
  assert.match((await response.json()).message, /No API key/);
});

test("both secret keys are the service role, and see through row level security", async () => {
  for (const name of ["service_role_key", "secret_key"]) {
    const client = supabase(info, undefined, info[name]);
    const { data, error } = await client.from("organization_members").select("user_id").eq("organization_id", organization);
    assert.equal(error, null, name);
    assert.deepEqual(data, [{ user_id: user.id }]);
  }
});

test("a secret key that comes with a browser's User-Agent is rejected, other keys are not", async () => {
  const withKey = (apikey) => memberships(undefined, { apikey, "user-agent": BROWSER });
  const refused = await withKey(info.secret_key);
  assert.equal(refused.status, 401);
  assert.match((await refused.json()).message, /Forbidden use of secret API key in browser/);
  assert.equal((await withKey(info.service_role_key)).status, 200);
  // Without a user it is the role `anon`, which may not read the table at all.
  assert.equal((await withKey(info.publishable_key)).status, 401);
});

test("a path of no service is answered 404", async () => {
  assert.equal((await fetch(`${info.supabase_url}/storage/v1/object`)).status, 404);
  assert.equal((await fetch(`${info.supabase_url}/rest/v10/x`)).status, 404);
});

test("`postgres` is no superuser, and the roles of the API inherit nothing", async () => {
  const roles = await sql`
    select rolname, rolsuper, rolbypassrls, rolinherit from pg_roles
    where rolname in ('postgres', 'anon', 'authenticated', 'service_role', 'authenticator') order by rolname`;
  assert.deepEqual(
    roles.map((role) => Object.values(role)),
    [
      ["anon", false, false, false],
      ["authenticated", false, false, false],
      ["authenticator", false, false, false],
      ["postgres", false, true, true],
      ["service_role", false, true, false],
    ],
  );
});

test("a new database is an empty project: Supabase's grants, and no table", async () => {
  const database = await createDatabase(info);
  const own = connect(info, database.url);
  try {
    await own`create table public.notes (id int)`;
    const grants = await own`select has_table_privilege('anon', 'public.notes', 'insert') as anon, auth.uid() as uid`;
    assert.deepEqual({ ...grants[0] }, { anon: true, uid: null });
  } finally {
    await own.end();
    await database.drop();
  }
});
