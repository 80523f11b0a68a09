-- A rotation's functions as measuring has shaped them: a page costs one pass over its rows, what is done already is only counted, and a
-- batch is answered with a number. rewrap_page and rewrap_apply stay for the keytool of the version before.

-- Looks at the next p_limit rows in the order of their ids, after p_after and up to p_until, and returns those that are not sealed with
-- p_kid (null: all of them); it stops once what it returns is a megabyte, but never before the first. The last of p_limit rows is always
-- returned, current and without its config where nothing is to be done about it, so that the caller knows where to go on. No row at
-- all: there is nothing more to do. looked counts the rows of the page up to this one.
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

-- Looks at the next p_limit rows and only counts: how many they are, how many of them are not sealed with p_kid, and the id of the last
-- one (null: the end was reached). This is how a rotation finds that nothing is left, which most of its reading is.
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

-- Replaces top-level fields of many configs, each row only if it is still the version that rewrap_read gave, and returns how many were
-- written; the others changed or went meanwhile. A patch holds the fields that hold sealed values, whole, and _enc: so key
-- id and values change in one write, and the fields in plain text stay as they are. updated_at stays (see set_updated_at).
--
-- Not durable means that a crash of the server may undo the batch (never half of it): a rotation finds the rows again by their key
-- id. A durable call commits to the disk even if it has nothing to write, and with it everything that calls before it wrote without
-- waiting, whichever connection they came by. A writer that holds a row for long is not waited for longer than two seconds: the batch
-- fails whole with 55P03.
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
    or exists (select from unnest(p_patches) patch where patch ? '_enc' is not true)
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
  update public.integrations i
  set config = i.config || rewrapped.patch
  from unnest(p_ids, p_versions, p_patches) rewrapped (id, version, patch)
  where i.id = rewrapped.id and i.xmin = rewrapped.version::xid and jsonb_typeof(i.config) = 'object';
  get diagnostics v_written = row_count;
  perform set_config('integrations.rewrap', 'off', true);
  return v_written;
end
$$;

revoke all on function public.rewrap_read(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
revoke all on function public.rewrap_look(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
revoke all on function public.rewrap_write(uuid[], text[], jsonb[], boolean) from public, anon, authenticated;
grant execute on function public.rewrap_read(uuid, integer, text, uuid, uuid) to service_role;
grant execute on function public.rewrap_look(uuid, integer, text, uuid, uuid) to service_role;
grant execute on function public.rewrap_write(uuid[], text[], jsonb[], boolean) to service_role;
