-- A key is not retired while it is needed for a credential that is not in integrations yet: a refreshed one that is kept until the row
-- may be written, or a grant that waits for the user's choice. Both are a matter of minutes.

create or replace function public.retire_key(p_kid text, p_fence uuid) returns jsonb
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
    select from public.parked_connections p where p.expires_at > now() and p.config -> '_enc' ->> 'kid' = p_kid
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
