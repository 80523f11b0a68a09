-- What a rotation needs of its functions beyond their first version, found by measuring it: pages that are bounded by size and not only
-- by number, so that a thousand large configs do not travel at once; how many rows were looked at, for the progress; a bound for lock
-- waits; and a way to have everything on the disk at the end.

drop function public.rewrap_page(uuid, integer, text, uuid, uuid);

-- Looks at the next rows in the order of their ids, after p_after and up to p_until, and returns those that are not sealed with p_kid
-- (null: all of them). It looks at p_limit rows, or fewer once what it returns is a megabyte, but always at one. The last row
-- that was looked at is always returned, without its config where it is current, so that the caller knows where to go on: no row at all
-- means the end. looked counts the rows of the page up to this one. Windows over the ordered rows, and no temporary result: this reads
-- every row of the table, most often to find nothing.
create function public.rewrap_page(
  p_after uuid, p_limit integer, p_kid text, p_until uuid default null, p_organization_id uuid default null
) returns table (id uuid, organization_id uuid, config jsonb, version text, current boolean, looked integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  c_bytes constant integer := 1048576;
begin
  if p_limit is null or p_limit not between 1 and 5000 then
    raise exception 'p_limit is not between 1 and 5000' using errcode = 'invalid_parameter_value';
  end if;

  return query
    select p.id, p.organization_id, case when not p.current then p.config end, p.version::text, p.current, p.looked::integer
    from (
      select i.*, row_number() over page as looked, sum(i.size) over page as bytes, lead(i.id) over page is null as is_end
      from (
        select r.id, r.organization_id, r.config, r.xmin as version, e.current,
          case
            when e.current then 0
            when pg_catalog.pg_column_compression(r.config) is null then pg_catalog.pg_column_size(r.config)
            else octet_length(r.config::text)
          end as size
        from public.integrations r
        cross join lateral (select coalesce(r.config->'_enc'->>'kid' = p_kid, false) as current offset 0) e
        where (p_after is null or r.id > p_after)
          and (p_until is null or r.id <= p_until)
          and (p_organization_id is null or r.organization_id = p_organization_id)
      ) i
      window page as (order by i.id rows unbounded preceding)
      order by i.id
      limit p_limit
    ) p
    where p.bytes - p.size < c_bytes
      and (not p.current or p.looked = p_limit or p.is_end or p.bytes >= c_bytes);
end
$$;

revoke all on function public.rewrap_page(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
grant execute on function public.rewrap_page(uuid, integer, text, uuid, uuid) to service_role;

-- As before, and: a writer that holds a row for long is not waited for longer than two seconds (the batch fails whole with 55P03, and is
-- tried again later); and a durable call commits to the disk even if it has nothing to write, and with it everything that calls
-- before it wrote without waiting, whichever connection they came by.
create or replace function public.rewrap_apply(p_ids uuid[], p_versions text[], p_patches jsonb[], p_durable boolean default true)
returns setof uuid
-- Without hash and merge joins rows are locked in the order of p_ids: two rotators on the same rows, both in the order of ids, wait
-- for each other but never deadlock.
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_hashjoin = off set enable_mergejoin = off set lock_timeout = '2s' as $$
begin
  if p_ids is null or p_versions is null or p_patches is null
    or cardinality(p_ids) > 5000
    or cardinality(p_versions) <> cardinality(p_ids) or cardinality(p_patches) <> cardinality(p_ids)
    or exists (select from unnest(p_patches) patch where patch->'_enc'->>'kid' is null)
  then
    raise exception 'not at most 5000 ids with a version and a patch each' using
      errcode = 'invalid_parameter_value', hint = 'a patch is an object with _enc';
  end if;

  if p_durable then
    -- A transaction that has written nothing commits without waiting for the log. Locking a row writes a little.
    perform from private.fence f for key share;
  else
    perform set_config('synchronous_commit', 'off', true);
  end if;
  perform set_config('integrations.rewrap', 'on', true);
  return query
    update public.integrations i
    set config = i.config || rewrapped.patch
    from unnest(p_ids, p_versions, p_patches) rewrapped (id, version, patch)
    where i.id = rewrapped.id and i.xmin = rewrapped.version::xid and jsonb_typeof(i.config) = 'object'
    returning i.id;
  perform set_config('integrations.rewrap', 'off', true);
end
$$;

-- As before, with the planner's estimate of the rows there are (null before the first analyze): for a progress bar.
create or replace function public.rewrap_vitals() returns jsonb
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'lock_waits', (
      select count(distinct l.pid) from pg_catalog.pg_locks l
      where not l.granted and l.waitstart < clock_timestamp() - interval '100 milliseconds'
    ),
    'replication_lag_seconds', (select extract(epoch from max(r.replay_lag)) from pg_catalog.pg_stat_replication r),
    'estimated_rows', (
      select nullif(c.reltuples, -1)::bigint from pg_catalog.pg_class c where c.oid = 'public.integrations'::regclass
    )
  );
$$;
