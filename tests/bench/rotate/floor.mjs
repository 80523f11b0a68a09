// The floor: what PostgreSQL itself takes to write every row again, in batches by the order of ids, each committed, and nothing else.
import postgres from "postgres";

/** Returns the seconds it took. */
export async function runFloor(url, { connections, batch }) {
  // updated_at stays, as it does in a rotation: one trigger less to pay for.
  const sql = postgres(url, { max: connections, connection: { "integrations.rewrap": "on" } });
  try {
    await sql`select 1`;
    const started = performance.now();
    await Promise.all(Array.from({ length: connections }, (_, part) => rewriteRange(sql, bounds(part, connections), batch)));
    return (performance.now() - started) / 1000;
  } finally {
    await sql.end();
  }
}

async function rewriteRange(sql, [after, until], batch) {
  for (;;) {
    const [last] = await sql`
      with page as (
        select id from public.integrations where id > ${after} and id <= ${until} order by id limit ${batch}
      ), written as (
        update public.integrations i set config = i.config from page where i.id = page.id returning i.id
      )
      select id from written order by id desc limit 1`;
    if (!last) return;
    after = last.id;
  }
}

/** The last id before a part of the id space, and its own last one. */
function bounds(part, of) {
  const id = (index) => {
    const hex = (((1n << 128n) - 1n) / BigInt(of)) * BigInt(index);
    return hex.toString(16).padStart(32, "0").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  };
  return [id(part), part + 1 === of ? "ffffffff-ffff-ffff-ffff-ffffffffffff" : id(part + 1)];
}
