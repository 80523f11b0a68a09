-- A rotation's two statements, the same for a direct connection and for PostgREST: read a page, write a batch. Neither holds a lock
-- while keytool seals; a row that somebody else wrote in between is left as they wrote it.

-- Looks at the next p_limit rows in the order of their ids, after p_after and up to p_until, and returns those that are not sealed
-- with p_kid (null: all of them). The last row that was looked at is always returned, without its config where it is current, so that
-- the caller knows where to go on: no row at all means the end. Work is bounded by what is looked at, not by what is found.
create function public.rewrap_page(
  p_after uuid, p_limit integer, p_kid text, p_until uuid default null, p_organization_id uuid default null
) returns table (id uuid, organization_id uuid, config jsonb, version text, current boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
begin
  if p_limit is null or p_limit not between 1 and 5000 then
    raise exception 'p_limit is not between 1 and 5000' using errcode = 'invalid_parameter_value';
  end if;

  return query
    with page as (
      select i.id, i.organization_id, i.config, i.xmin::text as version,
        coalesce(i.config->'_enc'->>'kid' = p_kid, false) as current
      from public.integrations i
      where (p_after is null or i.id > p_after)
        and (p_until is null or i.id <= p_until)
        and (p_organization_id is null or i.organization_id = p_organization_id)
      order by i.id
      limit p_limit
    )
    select p.id, p.organization_id, case when not p.current then p.config end, p.version, p.current
    from page p
    where not p.current or p.id = (select last.id from page last order by last.id desc limit 1)
    order by p.id;
end
$$;

-- Replaces top-level fields of many configs, each row only if it is still the version that rewrap_page gave, and returns the ids that
-- were written; the others changed or went meanwhile. A patch holds the fields that hold sealed values, whole, and _enc: so key
-- id and values change in one write, and the fields in plain text stay as they are. updated_at stays (see set_updated_at).
--
-- Not durable means that a crash of the server may undo the batch (never half of it): a rotation finds the rows again by their key
-- id. Its last batch is durable, and with it everything before.
create function public.rewrap_apply(p_ids uuid[], p_versions text[], p_patches jsonb[], p_durable boolean default true)
returns setof uuid
-- Without hash and merge joins rows are locked in the order of p_ids: two rotators on the same rows, both in the order of ids, wait
-- for each other but never deadlock.
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_hashjoin = off set enable_mergejoin = off as $$
begin
  if p_ids is null or p_versions is null or p_patches is null
    or cardinality(p_ids) > 5000
    or cardinality(p_versions) <> cardinality(p_ids) or cardinality(p_patches) <> cardinality(p_ids)
    or exists (select from unnest(p_patches) patch where patch->'_enc'->>'kid' is null)
  then
    raise exception 'not at most 5000 ids with a version and a patch each' using
      errcode = 'invalid_parameter_value', hint = 'a patch is an object with _enc';
  end if;

  if not p_durable then
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

revoke all on function public.rewrap_page(uuid, integer, text, uuid, uuid) from public, anon, authenticated;
revoke all on function public.rewrap_apply(uuid[], text[], jsonb[], boolean) from public, anon, authenticated;
grant execute on function public.rewrap_page(uuid, integer, text, uuid, uuid) to service_role;
grant execute on function public.rewrap_apply(uuid[], text[], jsonb[], boolean) to service_role;
