-- The functions of a rotation, and the scheduled clean-up.

create function public.rewrap_load() returns jsonb
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

comment on function public.rewrap_load() is
  'The load that a rotation watches: the number of backends that have waited 100 ms for a lock, the replication lag in seconds (null without a '
  'replica or without the right to see it), and the planner''s estimate of the rows.';

create function public.rewrap_read(
  p_after uuid, p_limit integer, p_kid text, p_until uuid default null, p_organization_id uuid default null,
  p_scan_limit integer default null
) returns table (id uuid, organization_id uuid, config jsonb, version text, current boolean, scanned integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  c_bytes constant integer := 1048576;
  v_scan_limit integer := coalesce(p_scan_limit, p_limit);
begin
  if p_limit is null or p_limit not between 1 and 5000 or v_scan_limit not between p_limit and 50000 then
    raise exception 'p_limit is not between 1 and 5000, or p_scan_limit not between that and 50000' using
      errcode = 'invalid_parameter_value';
  end if;

  return query
    select p.id, p.organization_id, p.config, p.version::text, p.config is null, p.scanned::integer
    from (
      select i.*, row_number() over page as scanned, sum(i.size) over page as bytes
      from (
        select c.*,
          case
            when c.config is null then 0
            when pg_catalog.pg_column_compression(c.config) is null then pg_catalog.pg_column_size(c.config)
            else octet_length(c.config::text)
          end as size
        from (
          -- The limit stands here so that the key id is looked up once a row, and a row that needs nothing is not sent.
          select r.id, r.organization_id, r.xmin as version,
            case when r.config->'_enc'->>'kid' = p_kid then null else coalesce(r.config, 'null') end as config
          from public.integrations r
          where (p_after is null or r.id > p_after)
            and (p_until is null or r.id <= p_until)
            and (p_organization_id is null or r.organization_id = p_organization_id)
          order by r.id
          limit v_scan_limit
        ) c
      ) i
      window page as (order by i.id rows unbounded preceding)
    ) p
    where p.bytes - p.size < c_bytes and (p.config is not null or p.scanned = v_scan_limit)
    order by p.id
    limit p_limit;
end
$$;

comment on function public.rewrap_read(uuid, integer, text, uuid, uuid, integer) is
  'Scans the next p_scan_limit rows by id after p_after, up to p_until, and returns those that are not sealed with p_kid (null: all): '
  'at most p_limit of them, and about a megabyte. p_scan_limit is p_limit, if not given. The last of p_scan_limit rows is always returned, as '
  'the place to continue. No row means the end. scanned counts the rows up to this one.';

create function public.rewrap_write(p_ids uuid[], p_versions text[], p_patches jsonb[]) returns jsonb
-- Without hash and merge joins rows are locked in the order of p_ids: two rotators on the same rows, both in the order of ids, wait
-- for each other but never deadlock.
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_hashjoin = off set enable_mergejoin = off set lock_timeout = '2s' as $$
declare
  v_written jsonb;
begin
  if p_ids is null or p_versions is null or p_patches is null
    or cardinality(p_ids) > 5000
    or cardinality(p_versions) <> cardinality(p_ids) or cardinality(p_patches) <> cardinality(p_ids)
  then
    raise exception 'not at most 5000 ids with a version and a patch each' using errcode = 'invalid_parameter_value';
  end if;
  if exists (select from unnest(p_patches) patch where patch->'_enc' is null) then
    raise exception 'a patch without a key id' using errcode = 'invalid_parameter_value', hint = 'a patch is an object with _enc';
  end if;

  -- A crash of the server may undo this; a further run finds the rows again. record_rotation makes all of it durable.
  perform set_config('synchronous_commit', 'off', true);
  perform set_config('integrations.rewrap', 'on', true);
  with written as (
    update public.integrations i
    set config = i.config || rewrapped.patch
    from unnest(p_ids, p_versions, p_patches) rewrapped (id, version, patch)
    where i.id = rewrapped.id and i.xmin = rewrapped.version::xid and jsonb_typeof(i.config) = 'object'
    returning i.organization_id
  )
  select coalesce(jsonb_object_agg(o.organization_id, o.rows), '{}') into v_written
  from (select w.organization_id, count(*) as rows from written w group by w.organization_id) o;
  perform set_config('integrations.rewrap', 'off', true);
  return v_written;
end
$$;

comment on function public.rewrap_write(uuid[], text[], jsonb[]) is
  'Replaces top-level fields of many configs, each only if its row is still the version that was read. Returns the number of '
  'written rows of each organization. A patch holds the sealed fields, whole, and _enc, so key id and values change in one write; '
  'updated_at stays. A crash of the server may undo the batch, never half of it, until record_rotation has been called. Waits at '
  'most two seconds for another writer of a row, then fails whole with 55P03.';

create function public.record_opening(p_reason text, p_kid text, p_organizations uuid[]) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_reason is null or p_reason not in ('rotate', 'verify', 'export') or p_organizations is null or cardinality(p_organizations) > 5000 then
    raise exception 'p_reason is not rotate, verify or export, or not at most 5000 organizations' using errcode = 'invalid_parameter_value';
  end if;
  insert into public.credential_events (actor, organization_id, action, outcome, reason, details)
    select 'keytool', o.id, 'opened', 'succeeded', p_reason, jsonb_strip_nulls(jsonb_build_object('to', p_kid, 'role', session_user))
    from unnest(p_organizations) o (id);
  return cardinality(p_organizations);
end
$$;

comment on function public.record_opening(text, text, uuid[]) is
  'Called before keytool opens rows of these organizations, to verify them, to export them or to rewrap them with p_kid: writes an event for each. '
  'Returns the number of events.';

create function public.record_rotation(p_kid text, p_organizations jsonb) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count integer;
begin
  if p_kid is null or p_kid !~ '^[0-9a-f]{16}$' or jsonb_typeof(p_organizations) is distinct from 'array'
    or jsonb_array_length(p_organizations) > 10000
  then
    raise exception 'not a key id and at most 10000 organizations' using
      errcode = 'invalid_parameter_value', hint = 'a key id is 16 lower-case hexadecimal digits';
  end if;
  -- A transaction without writes commits without waiting for the log. Locking a row is a write.
  perform from private.fence f for key share;
  insert into public.credential_events (actor, organization_id, action, outcome, details)
    select 'keytool', o.id, 'rotated', 'succeeded',
      jsonb_build_object('rows', o.rows, 'from', to_jsonb(o."from"), 'to', p_kid, 'role', session_user)
    from jsonb_to_recordset(p_organizations) as o (id uuid, rows bigint, "from" text[]);
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

comment on function public.record_rotation(text, jsonb) is
  'Ends a rotation to p_kid: writes an event for each organization with rewrapped rows ([{id, rows, from}], from being key ids, or '
  'legacy for rows without one), and makes all earlier writes of rewrap_write durable. Returns the number of events.';

create function public.clean_up(p_event_days integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_more boolean;
  v_count integer;
begin
  if p_event_days is null or p_event_days not between 30 and 36500 then
    raise exception 'p_event_days is not between 30 and 36500' using errcode = 'invalid_parameter_value';
  end if;
  v_more := private.clean_up_webhooks();

  delete from public.oauth_transactions t
    where t.id in (
      select e.id from public.oauth_transactions e
      where e.expires_at <= now() order by e.expires_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 1000;

  -- Longer than any call can take.
  delete from private.ended_connections c
    where c.id in (
      select e.id from private.ended_connections e
      where e.ended_at <= now() - interval '1 hour' order by e.ended_at limit 1000 for update skip locked
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
  perform private.clean_up_service_keys(p_event_days);
  v_more := private.clean_up_connect_sessions() or v_more;
  v_more := private.clean_up_assessments(p_event_days) or v_more;
  return jsonb_build_object('outcome', 'cleaned', 'more', v_more);
end
$$;

comment on function public.clean_up(integer) is
  'Deletes what has expired: authorization transactions, rate limits, ended connections, connect sessions that ended a day ago, settled deliveries of two weeks ago; events, '
  'service keys that have ended, runs of the scanner, ended findings and mutes older than p_event_days. Ends runs that have not ended within a day. more: a bound was reached.';

create function public.export_integrations(p_ids uuid[]) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_ids is null or cardinality(p_ids) > 5000 then
    raise exception 'p_ids is no list of at most 5000 ids' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object(
    'outcome', 'read',
    'rows', coalesce(
      (
        select jsonb_object_agg(i.id, jsonb_build_object(
          'integration_type', i.integration_type, 'name', i.name, 'status', i.status, 'external_account_id', i.external_account_id,
          'scan_schedule', i.scan_schedule, 'created_at', i.created_at, 'updated_at', i.updated_at
        ))
        from public.integrations i
        where i.id = any (p_ids)
      ),
      '{}'
    )
  );
end
$$;

comment on function public.export_integrations(uuid[]) is
  'The plain columns of up to 5000 integrations, by id, for keytool''s export. Their configs come from rewrap_read.';

create function public.schedule_state() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'overdue_seconds', greatest(0, floor(extract(epoch from now() - least(
      (select min(t.expires_at) from public.oauth_transactions t),
      (select min(p.expires_at) from public.pending_connections p),
      (select min(r.ends_at) from private.rate_limits r)
    ))))::bigint
  );
$$;

comment on function public.schedule_state() is
  'For how many seconds something has been due that every run of the schedule cleans up, or 0. Far above a minute, '
  'the schedule does not run.';

revoke all on function 
  public.rewrap_load(),
  public.rewrap_read(uuid, integer, text, uuid, uuid, integer),
  public.rewrap_write(uuid[], text[], jsonb[]),
  public.record_opening(text, text, uuid[]),
  public.record_rotation(text, jsonb),
  public.export_integrations(uuid[]),
  public.schedule_state(),
  public.clean_up(integer)
from public, anon, authenticated, service_role;
grant execute on function 
  public.rewrap_load(),
  public.rewrap_read(uuid, integer, text, uuid, uuid, integer),
  public.rewrap_write(uuid[], text[], jsonb[]),
  public.record_opening(text, text, uuid[]),
  public.record_rotation(text, jsonb),
  public.export_integrations(uuid[]),
  public.schedule_state(),
  public.clean_up(integer)
to service_role;
