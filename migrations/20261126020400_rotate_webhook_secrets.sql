-- The signing secrets are sealed with the worker's key ring, so a rotation is over only when none is on the old key. keytool does not
-- touch them: the worker's schedule moves them, a few hundred in a run.

-- As before, with the table that it stands for in its message: two have it now.
create or replace function private.refuse_fenced_key() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_kid text := new.config->'_enc'->>'kid';
begin
  perform from public.key_registry k where k.kid = v_kid and k.state = 'allowed' for share;
  if found then
    return new;
  end if;

  if new.config->'_enc' is null and not private.holds_secrets(new.config) then
    return new;
  end if;

  -- Enabled without a declaration (by ALTER TABLE ... ENABLE TRIGGER ALL after a restore, say) the trigger refuses nothing.
  perform from private.fence f where f.id is null for share;
  if found then
    return new;
  end if;

  raise exception '%.config is not sealed with a key that may write now', tg_table_name using
    errcode = 'IK001',
    detail = 'key id: ' || case when v_kid ~ '^[0-9a-f]{16}$' then v_kid else 'none' end,
    hint = 'a key rotation has fenced this key out: seal with the current ENCRYPTION_KEY and write again';
end
$$;

-- Always enabled: endpoints are rarely written. It locks the fence's row, so a declaration waits for whoever has begun to write here, and
-- what retire_key counts afterwards is all there is.
create trigger refuse_fenced_key
  before insert on public.webhook_endpoints
  for each row
  execute function private.refuse_fenced_key();

-- A secret that comes or goes under the key that the row is on already brings nothing onto it.
create trigger refuse_fenced_change
  before update of config on public.webhook_endpoints
  for each row
  when (old.config->'_enc' is distinct from new.config->'_enc')
  execute function private.refuse_fenced_key();

-- Up to p_limit endpoints whose secrets are sealed with one of these keys.
create function public.webhook_secrets_on(p_kids text[], p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_kids is null or p_limit is null or p_limit not between 1 and 500 then
    raise exception 'p_limit is not between 1 and 500, or p_kids is null' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object(
    'outcome', 'found',
    'endpoints', coalesce(
      (
        select jsonb_agg(jsonb_build_object('id', e.id, 'organization_id', e.organization_id, 'config', e.config))
        from (
          select w.id, w.organization_id, w.config from public.webhook_endpoints w
          where w.config->'_enc'->>'kid' = any (p_kids)
          order by w.id limit p_limit
        ) e
      ),
      '[]'
    )
  );
end
$$;

-- Writes up to 500 of them sealed anew, [{"id", "read", "config"}], each only where the endpoint still has what was read.
create function public.reseal_webhook_secrets(p_resealed jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_count bigint;
begin
  if jsonb_typeof(p_resealed) is distinct from 'array' or jsonb_array_length(p_resealed) > 500 then
    raise exception 'p_resealed is no list of at most 500' using errcode = 'invalid_parameter_value';
  end if;

  with locked as (
    select e.id, r.config
    from public.webhook_endpoints e
    join jsonb_to_recordset(p_resealed) as r (id uuid, read jsonb, config jsonb) on r.id = e.id and r.read = e.config
    order by e.id
    for no key update of e
  )
  update public.webhook_endpoints e set config = l.config from locked l where e.id = l.id;
  get diagnostics v_count = row_count;
  return jsonb_build_object('outcome', 'resealed', 'count', v_count);
end
$$;

-- As before, and not while a webhook's secret is sealed with it. The default means no fence, and so retires nothing: it is there
-- because a function cannot lose one, so that the file before, run again by hand, is refused instead of taking this back.
create or replace function public.retire_key(p_kid text, p_fence uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_kept bigint;
begin
  perform from private.fence f where f.id = p_fence for share;
  if not found or not private.fence_is_up() then
    return jsonb_build_object('outcome', 'not_fenced');
  end if;

  select count(*) into v_kept from (
    select from public.credential_leases l where l.journal is not null and l.journal -> '_enc' ->> 'kid' = p_kid
    union all
    select from public.pending_connections p where p.config -> '_enc' ->> 'kid' = p_kid
    union all
    select from private.pending_revocations r where r.config -> '_enc' ->> 'kid' = p_kid
    union all
    select from public.webhook_endpoints e where e.config -> '_enc' ->> 'kid' = p_kid
  ) kept;
  if v_kept > 0 then
    return jsonb_build_object('outcome', 'needed', 'credentials', v_kept);
  end if;

  insert into public.key_registry as k (kid, state) values (p_kid, 'retired')
    on conflict (kid) do update
      set state = 'retired', changed_at = case k.state when 'retired' then k.changed_at else now() end
      where k.state <> 'allowed';
  return jsonb_build_object('outcome', case when found then 'retired' else 'allowed' end);
end
$$;

revoke all on function public.webhook_secrets_on(text[], integer) from public, anon, authenticated;
revoke all on function public.reseal_webhook_secrets(jsonb) from public, anon, authenticated;
grant execute on function public.webhook_secrets_on(text[], integer) to service_role;
grant execute on function public.reseal_webhook_secrets(jsonb) to service_role;

notify pgrst, 'reload schema';
