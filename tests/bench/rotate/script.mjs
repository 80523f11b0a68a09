// What one would write: a script with supabase-js that reads a page, opens and seals each row, and updates it.
import { randomBytes } from "node:crypto";

import { createClient } from "@supabase/supabase-js";

import { open, seal, unwrap } from "../../format/format.mjs";

const PAGE = 1000;

/**
 * Seals so many rows again, with the data key that they are sealed with, which is the same work as with another. supabase-js
 * talks to PostgREST itself, without the gateway. Returns the seconds it took.
 */
export async function runScript({ supabaseUrl, restUrl, keys, sql }, { key }, count) {
  const supabase = createClient(supabaseUrl, keys.serviceRoleKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { fetch: (url, init) => fetch(String(url).replace(`${supabaseUrl}/rest/v1`, restUrl), init) },
  });
  const dataKeys = new Map((await sql`select * from private.data_keys`).map((wrapped) => [wrapped.organization_id, unwrap([key], wrapped)]));
  const begun = performance.now();
  for (let done = 0; done < count; done += PAGE) {
    const { data, error } = await supabase
      .from("integrations")
      .select("id, organization_id, config")
      .order("id")
      .range(done, Math.min(done + PAGE, count) - 1);
    if (error) throw new Error(error.message);
    for (const { id, organization_id, config } of data) {
      const place = { organization_id, integration_id: id };
      const own = [dataKeys.get(organization_id)];
      const sealed = seal(key, place, open([key], place, config, own), () => randomBytes(12), own);
      const { error } = await supabase.from("integrations").update({ config: sealed }).eq("id", id);
      if (error) throw new Error(error.message);
    }
  }
  return (performance.now() - begun) / 1000;
}
