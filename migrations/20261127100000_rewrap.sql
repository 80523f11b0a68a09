-- How a rotation reads, counts and writes rows, and what the schedule cleans up.

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

comment on function public.rewrap_page(uuid, integer, text, uuid, uuid) is
  'Looks at the next rows in the order of their ids, after p_after and up to p_until, and returns those that are not sealed with '
  'p_kid (null: all of them). It looks at p_limit rows, or fewer once what it returns is a megabyte, but always at one. The last '
  'row that was looked at is always returned, without its config where it is current, so that the caller knows where to go on: no '
  'row at all means the end. looked counts the rows of the page up to this one. Windows over the ordered rows, and no temporary '
  'result: this reads every row of the table, most often to find nothing.';

create function public.rewrap_apply(p_ids uuid[], p_versions text[], p_patches jsonb[], p_durable boolean default true)
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

comment on function public.rewrap_apply(uuid[], text[], jsonb[], boolean) is
  'As before, and: a writer that holds a row for long is not waited for longer than two seconds (the batch fails whole with '
  '55P03, and is tried again later); and a durable call commits to the disk even if it has nothing to write, and with it '
  'everything that calls before it wrote without waiting, whichever connection they came by.';

create function public.rewrap_vitals() returns jsonb
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

comment on function public.rewrap_vitals() is
  'How the database bears a rotation: backends that have waited 100 ms for a lock, the replication lag in seconds (null without a '
  'replica or without the right to see it), and the planner''s estimate of the rows.';

create function public.rewrap_read(
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
    select p.id, p.organization_id, p.config, p.version::text, p.config is null, p.looked::integer
    from (
      select i.*, row_number() over page as looked, sum(i.size) over page as bytes
      from (
        select c.*,
          case
            when c.config is null then 0
            when pg_catalog.pg_column_compression(c.config) is null then pg_catalog.pg_column_size(c.config)
            else octet_length(c.config::text)
          end as size
        from (
          -- The limit stands here so that the key id is looked for once a row; and what needs nothing does not travel on.
          select r.id, r.organization_id, r.xmin as version,
            case when r.config->'_enc'->>'kid' = p_kid then null else coalesce(r.config, 'null') end as config
          from public.integrations r
          where (p_after is null or r.id > p_after)
            and (p_until is null or r.id <= p_until)
            and (p_organization_id is null or r.organization_id = p_organization_id)
          order by r.id
          limit p_limit
        ) c
      ) i
      window page as (order by i.id rows unbounded preceding)
    ) p
    where p.bytes - p.size < c_bytes and (p.config is not null or p.looked = p_limit)
    order by p.id;
end
$$;

comment on function public.rewrap_read(uuid, integer, text, uuid, uuid) is
  'Reads the next p_limit rows by id after p_after, up to p_until, and returns those that are not sealed with p_kid (null: all); '
  'it stops after a megabyte. The last of p_limit rows is always returned, as the place to continue. No row means the end. looked '
  'counts the rows up to this one.';

create function public.rewrap_look(
  p_after uuid, p_limit integer, p_kid text, p_until uuid default null, p_organization_id uuid default null
) returns table (looked integer, unfinished integer, last_id uuid)
-- One process is what a rotation may take of the server at a time.
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' set max_parallel_workers_per_gather = 0 as $$
begin
  if p_limit is null or p_limit not between 1 and 100000 then
    raise exception 'p_limit is not between 1 and 100000' using errcode = 'invalid_parameter_value';
  end if;

  -- By the index alone. Then the rows up to there in whatever order is the fastest.
  select r.id into last_id
  from public.integrations r
  where (p_after is null or r.id > p_after)
    and (p_until is null or r.id <= p_until)
    and (p_organization_id is null or r.organization_id = p_organization_id)
  order by r.id
  offset p_limit - 1
  limit 1;

  select count(*), count(*) filter (where (r.config->'_enc'->>'kid' = p_kid) is not true) into looked, unfinished
  from public.integrations r
  where (p_after is null or r.id > p_after)
    and (coalesce(last_id, p_until) is null or r.id <= coalesce(last_id, p_until))
    and (p_organization_id is null or r.organization_id = p_organization_id);
  return next;
end
$$;

comment on function public.rewrap_look(uuid, integer, text, uuid, uuid) is
  'Counts the next p_limit rows, those of them that are not sealed with p_kid, and returns the id of the last one (null: the end '
  'was reached).';

create function public.rewrap_write(p_ids uuid[], p_versions text[], p_patches jsonb[], p_durable boolean default true)
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

comment on function public.rewrap_write(uuid[], text[], jsonb[], boolean) is
  'Replaces top-level fields of many configs, each only if its row is still the version that was read. Returns how many were '
  'written. A patch holds the sealed fields, whole, and _enc, so key id and values change in one write; updated_at stays. Not '
  'durable: a crash of the server may undo the batch, never half of it. A durable call commits everything written before it. '
  'Waits at most two seconds for another writer of a row, then fails whole with 55P03.';

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

comment on function public.rewrap_fetch(uuid, integer, text, uuid, uuid) is
  'Reads the next p_limit rows without a copy: the planner inlines this body, so it has neither rights of its own nor settings, '
  'and a caller under row level security would see no row. config is null where it is sealed with p_kid, and where is_large says '
  'that rewrap_read has to read it.';

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

comment on function public.rewrap_count(uuid, uuid, text, uuid) is
  'Counts the rows after p_after up to p_until, and those of them that are not sealed with p_kid.';

create function public.clean_up(p_event_days integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_more boolean;
  v_count integer;
begin
  if p_event_days is null or p_event_days not between 30 and 36500 then
    raise exception 'p_event_days is not between 30 and 36500' using errcode = 'invalid_parameter_value';
  end if;
  v_more := private.sweep_webhooks();

  delete from public.oauth_transactions t
    where t.id in (
      select e.id from public.oauth_transactions e
      where e.expires_at <= now() order by e.expires_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 1000;

  delete from private.rate_limits r
    where (r.kind, r.subject) in (
      select e.kind, e.subject from private.rate_limits e
      where e.ends_at <= now() order by e.ends_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 1000;

  v_more := private.delete_old_events(p_event_days) or v_more;
  return jsonb_build_object('outcome', 'cleaned', 'more', v_more);
end
$$;

comment on function public.clean_up(integer) is
  'Deletes what has expired: authorization transactions, rate limits, settled deliveries of two weeks ago, events older than '
  'p_event_days. more: a bound was reached.';

revoke all on function 
  public.rewrap_page(uuid, integer, text, uuid, uuid),
  public.rewrap_apply(uuid[], text[], jsonb[], boolean),
  public.rewrap_vitals(),
  public.rewrap_read(uuid, integer, text, uuid, uuid),
  public.rewrap_look(uuid, integer, text, uuid, uuid),
  public.rewrap_write(uuid[], text[], jsonb[], boolean),
  public.rewrap_fetch(uuid, integer, text, uuid, uuid),
  public.rewrap_count(uuid, uuid, text, uuid),
  public.clean_up(integer)
from public, anon, authenticated, service_role;
grant execute on function 
  public.rewrap_page(uuid, integer, text, uuid, uuid),
  public.rewrap_apply(uuid[], text[], jsonb[], boolean),
  public.rewrap_vitals(),
  public.rewrap_read(uuid, integer, text, uuid, uuid),
  public.rewrap_look(uuid, integer, text, uuid, uuid),
  public.rewrap_write(uuid[], text[], jsonb[], boolean),
  public.rewrap_fetch(uuid, integer, text, uuid, uuid),
  public.rewrap_count(uuid, uuid, text, uuid),
  public.clean_up(integer)
to service_role;
