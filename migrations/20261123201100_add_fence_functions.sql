-- What keytool calls to put the fence up, to take it down, and to retire a key behind it.

-- Waits a bounded time for running writers, because new ones queue behind the wait: then answers busy, and the caller tries again.
-- The same list again keeps the fence that is up, and its id; another list makes a new one, proved by a new scan.
create function public.declare_fence(p_kids text[]) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  v_retired text[];
  v_fence private.fence;
begin
  if p_kids is null or cardinality(p_kids) not between 1 and 16
    or exists (select from unnest(p_kids) kid where kid is null or kid !~ '^[0-9a-f]{16}$')
  then
    raise exception 'p_kids is no list of 1 to 16 key ids' using
      errcode = 'invalid_parameter_value', hint = 'a key id is 16 lower-case hexadecimal digits';
  end if;

  begin
    -- Before anything is read: two declarations queue here, and the trigger's switch needs the same lock.
    lock table public.integrations in share row exclusive mode;
  exception when lock_not_available then
    return jsonb_build_object('outcome', 'busy');
  end;

  select array_agg(k.kid order by k.kid) into v_retired
    from public.key_registry k where k.state = 'retired' and k.kid = any (p_kids);
  if v_retired is not null then
    return jsonb_build_object('outcome', 'retired', 'kids', v_retired);
  end if;

  select * into v_fence from private.fence f for update;

  if not private.fence_is_up() or exists (
    select from unnest(p_kids) wanted (kid)
    full join (select k.kid from public.key_registry k where k.state = 'allowed') standing using (kid)
    where wanted.kid is null or standing.kid is null
  ) then
    update public.key_registry k set state = 'known', changed_at = now()
      where k.state = 'allowed' and k.kid <> all (p_kids);
    insert into public.key_registry (kid, state)
      select distinct kid, 'allowed' from unnest(p_kids) kid
      on conflict (kid) do update set state = 'allowed', changed_at = now() where key_registry.state <> 'allowed';
    update private.fence f set id = gen_random_uuid(), declared_at = clock_timestamp() where f.single returning * into v_fence;
    alter table public.integrations enable trigger refuse_fenced_key;
  end if;

  return jsonb_build_object('outcome', 'fenced', 'fence', v_fence.id, 'declared_at', v_fence.declared_at);
end
$$;

create function public.lift_fence() returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
begin
  begin
    lock table public.integrations in share row exclusive mode;
  exception when lock_not_available then
    return jsonb_build_object('outcome', 'busy');
  end;

  update private.fence f set id = null, declared_at = null where f.single and f.id is not null;
  if not found then
    return jsonb_build_object('outcome', 'not_fenced');
  end if;
  update public.key_registry k set state = 'known', changed_at = now() where k.state = 'allowed';
  alter table public.integrations disable trigger refuse_fenced_key;
  return jsonb_build_object('outcome', 'lifted');
end
$$;

-- p_fence is the fence under which the caller's scan found nothing on this key. Had it been lifted since, or its list been changed,
-- the scan would prove nothing.
create function public.retire_key(p_kid text, p_fence uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from private.fence f where f.id = p_fence for share;
  if not found or not private.fence_is_up() then
    return jsonb_build_object('outcome', 'not_fenced');
  end if;

  insert into public.key_registry as k (kid, state) values (p_kid, 'retired')
    on conflict (kid) do update
      set state = 'retired', changed_at = case k.state when 'retired' then k.changed_at else now() end
      where k.state <> 'allowed';
  return jsonb_build_object('outcome', case when found then 'retired' else 'allowed' end);
end
$$;

create function public.key_registry_state() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'fence', (
      select jsonb_build_object('id', f.id, 'declared_at', f.declared_at) from private.fence f where private.fence_is_up()
    ),
    'keys', coalesce(
      (
        select jsonb_agg(jsonb_build_object('kid', k.kid, 'state', k.state, 'changed_at', k.changed_at) order by k.kid)
        from public.key_registry k
      ),
      '[]'
    )
  );
$$;

revoke all on function public.declare_fence(text[]) from public, anon, authenticated;
revoke all on function public.lift_fence() from public, anon, authenticated;
revoke all on function public.retire_key(text, uuid) from public, anon, authenticated;
revoke all on function public.key_registry_state() from public, anon, authenticated;
grant execute on function public.declare_fence(text[]) to service_role;
grant execute on function public.lift_fence() to service_role;
grant execute on function public.retire_key(text, uuid) to service_role;
grant execute on function public.key_registry_state() to service_role;
