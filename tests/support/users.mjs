// Users of the project, by the Auth API as anybody signs up; and organisations of several of them.
import { randomBytes, randomUUID } from "node:crypto";

import { createClient } from "@supabase/supabase-js";

/** Signs a new user up: `{ id, email, password, access_token, refresh_token }`. Its tokens' issuer is `info.supabase_url`. */
export async function signUp(info) {
  const user = { email: `${randomUUID()}@example.com`, password: randomBytes(12).toString("base64url") };
  const { user: { id }, access_token, refresh_token } = await authenticate(info, "signup", user);
  return { id, ...user, access_token, refresh_token };
}

/** Signs a user in again, which starts another session: `{ access_token, refresh_token }`. */
export async function signIn(info, { email, password }) {
  const { access_token, refresh_token } = await authenticate(info, "token?grant_type=password", { email, password });
  return { access_token, refresh_token };
}

/** Makes an organisation of these users; `sql` is a client of the database. Returns its id. */
export async function createOrganization(sql, members, role = "admin") {
  const id = randomUUID();
  for (const { id: user_id } of members) {
    await sql`insert into public.organization_members ${sql({ organization_id: id, user_id, role })}`;
  }
  return id;
}

/** supabase-js as this user, or as nobody; `key` is the API key, by default the publishable one. */
export function supabase(info, user, key = info.publishable_key) {
  return createClient(info.supabase_url, key, {
    auth: { persistSession: false, autoRefreshToken: false },
    ...(user && { accessToken: async () => user.access_token }),
  });
}

async function authenticate(info, path, body) {
  const response = await fetch(`${info.supabase_url}/auth/v1/${path}`, {
    method: "POST",
    headers: { apikey: info.publishable_key, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${JSON.stringify(answer)}`);
  return answer;
}
