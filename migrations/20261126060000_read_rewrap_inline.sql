-- The rotation's functions as further measuring has shaped them: a page that is read on a direct connection is part of the caller's own query,
-- what an earlier pass has come by is counted without being looked for first, and a batch's patches are unpacked once.

-- Shows the next p_limit rows in the order of their ids, after p_after and up to p_until. config is null where it is sealed with p_kid (null: none
-- is), and where is_large says that it is large: that is for rewrap_read, which bounds a page's bytes. A config that is not large lies in
-- the row itself, so that here the limit is a bound.
--
-- The planner puts this body in the place of the call: no row is copied on its way, and the bounds are as good as constants. So it has neither
-- rights of its own nor settings: a caller whom row level security concerns would see no row, and calls rewrap_read. Its names were resolved
-- when it was made; no search_path matters. Through PostgREST it would be planned without knowing the bounds, and read the table from
-- its beginning.
create function public.rewrap_fetch(
  p_after uuid, p_limit integer, p_kid text, p_until uuid default null, p_organization_id uuid default null
) returns table (id uuid, organization_id uuid, config jsonb, version text, is_large boolean)
language sql stable
begin atomic
  select r.id, r.organization_id,
    case
      when pg_column_size(r.config) > 2048 or pg_column_compression(r.config) is not null then null
      when r.config->'_enc'->>'kid' = p_kid then null
      else coalesce(r.config, 'null')
    end,
    r.xmin::text,
    (pg_column_size(r.config) > 2048 or pg_column_compression(r.config) is not null)
      and (r.config->'_enc'->>'kid' = p_kid) is not true
  from public.integrations r
  where (p_after is null or r.id > p_after)
    and (p_until is null or r.id <= p_until)
    and (p_organization_id is null or r.organization_id = p_organization_id)
  order by r.id
  limit least(p_limit, 5000);
end;

-- Counts the rows after p_after and up to p_until, and those of them that are not sealed with p_kid. rewrap_look has to find out first where so
-- many rows end, which costs more than the counting; this is for a caller that has been there and knows.
create function public.rewrap_count(p_after uuid, p_until uuid, p_kid text, p_organization_id uuid default null)
returns table (looked integer, unfinished integer)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' set max_parallel_workers_per_gather = 0 as $$
begin
  if p_until is null then
    raise exception 'p_until is null' using errcode = 'invalid_parameter_value';
  end if;

  select count(*), count(*) filter (where (r.config->'_enc'->>'kid' = p_kid) is not true) into looked, unfinished
  from public.integrations r
  where (p_after is null or r.id > p_after)
    and r.id <= p_until
    and (p_organization_id is null or r.organization_id = p_organization_id);
  return next;
end
$$;

-- As before. A patch that makes no sense is not written, so it is looked for only where not all were.
create or replace function public.rewrap_write(p_ids uuid[], p_versions text[], p_patches jsonb[], p_durable boolean default true)
returns integer
-- Without hash and merge joins rows are locked in the order of p_ids: two rotators on the same rows, both in the order of ids, wait
-- for each other but never deadlock.
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_hashjoin = off set enable_mergejoin = off set lock_timeout = '2s' as $$
declare
  v_written integer;
begin
  if p_ids is null or p_versions is null or p_patches is null
    or cardinality(p_ids) > 5000
    or cardinality(p_versions) <> cardinality(p_ids) or cardinality(p_patches) <> cardinality(p_ids)
  then
    raise exception 'not at most 5000 ids with a version and a patch each' using errcode = 'invalid_parameter_value';
  end if;

  if p_durable then
    -- A transaction that has written nothing commits without waiting for the log. Locking a row writes a little.
    perform from private.fence f for key share;
  else
    perform set_config('synchronous_commit', 'off', true);
  end if;
  perform set_config('integrations.rewrap', 'on', true);
  update public.integrations i
  set config = i.config || rewrapped.patch
  from unnest(p_ids, p_versions, p_patches) rewrapped (id, version, patch)
  where i.id = rewrapped.id and i.xmin = rewrapped.version::xid and jsonb_typeof(i.config) = 'object'
    and rewrapped.patch->'_enc' is not null;
  get diagnostics v_written = row_count;
  perform set_config('integrations.rewrap', 'off', true);

  if v_written < cardinality(p_ids) and exists (select from unnest(p_patches) patch where patch->'_enc' is null) then
    raise exception 'a patch without a key id' using errcode = 'invalid_parameter_value', hint = 'a patch is an object with _enc';
  end if;
  return v_written;
end
$$;

revoke all on function public.rewrap_fetch(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
revoke all on function public.rewrap_count(uuid, uuid, text, uuid) from public, anon, authenticated;
grant execute on function public.rewrap_fetch(uuid, integer, text, uuid, uuid) to service_role;
grant execute on function public.rewrap_count(uuid, uuid, text, uuid) to service_role;
