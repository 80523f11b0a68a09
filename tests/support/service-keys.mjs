// Programs with service keys, as they call the worker.
import { createHash, randomBytes, randomUUID } from "node:crypto";

import { bearer, call } from "./caller.mjs";

/** The program that has this key: `get`, `post`, `patch` and `delete` return the answer. */
export function program(worker, key) {
  const send = (method, path, body) => call(worker, method, path, { headers: bearer(key), body });
  return {
    key,
    get: (path) => send("GET", path),
    post: (path, body = {}) => send("POST", path, body),
    patch: (path, body) => send("PATCH", path, body),
    delete: (path) => send("DELETE", path),
  };
}

/** A program with a new key that the browser's user makes: `made` is the key as the API answered it. */
export async function programOf(browser, scopes, over = {}) {
  const body = { name: `key ${randomUUID()}`, scopes: [scopes].flat(), ...over };
  const made = (await browser.post("/api/service-keys", body)).expect(201).json;
  return { ...program(browser.worker, made.key), made };
}

/** A program with a key of all organizations, as an operator makes it. */
export async function operatorsProgram(sql, worker, scopes) {
  const random = randomBytes(32).toString("base64url");
  const hash = createHash("sha256").update(random).digest("hex");
  const name = `operator's ${randomUUID()}`;
  const [{ made }] = await sql`
    select public.create_service_key(
      p_user_id => null, p_organization_id => null, p_name => ${name}, p_prefix => 'sik_test', p_hash => ${hash}, p_scopes => ${[scopes].flat()}
    ) as made`;
  return { ...program(worker, `sik_${random}`), made: made.service_key };
}
