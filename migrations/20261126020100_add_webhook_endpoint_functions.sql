-- What members do with their organisation's endpoints. None locks an endpoint's row harder than FOR NO KEY UPDATE, save the deletion:
-- whoever writes an event holds the row FOR KEY SHARE, and must not wait.

-- An endpoint as its members see it.
create function private.shown_endpoint(p_row public.webhook_endpoints) returns jsonb
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'url', p_row.url,
    'events', p_row.events,
    'enabled', p_row.enabled,
    'disabled_reason', p_row.disabled_reason,
    'previous_secret_ends_at', p_row.previous_secret_ends_at,
    'created_at', p_row.created_at
  );
$$;

-- The endpoint of this id, locked, if the user belongs to its organisation; or null.
create function private.lock_endpoint(p_id uuid, p_user_id uuid) returns public.webhook_endpoints
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  select * into v_row from public.webhook_endpoints e where e.id = p_id;
  if not found or not private.lock_membership(p_user_id, v_row.organization_id) then
    return null;
  end if;
  -- The organisation once more: it is the one whose membership is locked.
  select * into v_row from public.webhook_endpoints e
    where e.id = p_id and e.organization_id = v_row.organization_id
    for no key update;
  return v_row;
end
$$;

create function public.create_webhook_endpoint(
  p_id uuid, p_user_id uuid, p_organization_id uuid, p_url text, p_events text[], p_config jsonb
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  -- An organisation's creations queue here: counted side by side, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('webhook_endpoints ' || p_organization_id, 0));

  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if (select count(*) from public.webhook_endpoints e where e.organization_id = p_organization_id) >= 10 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into public.webhook_endpoints (id, organization_id, url, events, config)
    values (p_id, p_organization_id, p_url, p_events, p_config)
    returning * into v_row;
  return jsonb_build_object('outcome', 'created', 'endpoint', private.shown_endpoint(v_row));
end
$$;

-- p_changes holds what changes: url, events (null: all), enabled. Enabling an endpoint forgets why it was disabled.
create function public.change_webhook_endpoint(p_id uuid, p_user_id uuid, p_changes jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  if jsonb_typeof(p_changes) is distinct from 'object'
    or p_changes - array['url', 'events', 'enabled'] <> '{}'
    or (p_changes ? 'url' and jsonb_typeof(p_changes->'url') <> 'string')
    or (p_changes ? 'events' and jsonb_typeof(p_changes->'events') not in ('array', 'null'))
    or (p_changes ? 'enabled' and jsonb_typeof(p_changes->'enabled') <> 'boolean')
  then
    raise exception 'p_changes holds something else' using
      errcode = 'invalid_parameter_value', hint = 'url a text, events a list or null, enabled true or false';
  end if;

  v_row := private.lock_endpoint(p_id, p_user_id);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  update public.webhook_endpoints e
    set url = coalesce(p_changes->>'url', e.url),
      events = case
        when jsonb_typeof(p_changes->'events') = 'array'
          then array(select w.type from jsonb_array_elements_text(p_changes->'events') w (type))
        when p_changes ? 'events' then null
        else e.events
      end,
      enabled = coalesce((p_changes->>'enabled')::boolean, e.enabled),
      disabled_reason = case when not p_changes ? 'enabled' then e.disabled_reason end,
      failing_since = null,
      -- Another receiver has to show how fast it is.
      slow_until = case when p_changes->>'url' <> e.url then 'infinity' else e.slow_until end,
      updated_at = now()
    where e.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'changed', 'endpoint', private.shown_endpoint(v_row));
end
$$;

-- With all that was to be delivered to it.
create function public.delete_webhook_endpoint(p_id uuid, p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id);
  delete from public.webhook_endpoints e where e.id = v_row.id;
  return jsonb_build_object('outcome', case when found then 'deleted' else 'unknown' end);
end
$$;

-- The sealed secrets, for whoever is about to give the endpoint a new one.
create function public.find_webhook_endpoint(p_id uuid, p_user_id uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  select * into v_row from public.webhook_endpoints e
    where e.id = p_id and private.is_member(p_user_id, e.organization_id);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  return jsonb_build_object('outcome', 'found', 'organization_id', v_row.organization_id, 'config', v_row.config);
end
$$;

-- Puts new secrets in the place of those that were read (p_read), or answers changed and writes nothing. With a previous_secret among
-- them both sign for a day.
create function public.change_webhook_secret(p_id uuid, p_user_id uuid, p_read jsonb, p_config jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_row.config is distinct from p_read then
    return jsonb_build_object('outcome', 'changed');
  end if;

  update public.webhook_endpoints e
    set config = p_config,
      previous_secret_ends_at = case when p_config ? 'previous_secret' then now() + interval '24 hours' end,
      updated_at = now()
    where e.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'rotated', 'endpoint', private.shown_endpoint(v_row));
end
$$;

revoke all on function private.shown_endpoint(public.webhook_endpoints) from public, anon, authenticated, service_role;
revoke all on function private.lock_endpoint(uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function public.create_webhook_endpoint(uuid, uuid, uuid, text, text[], jsonb) from public, anon, authenticated;
revoke all on function public.change_webhook_endpoint(uuid, uuid, jsonb) from public, anon, authenticated;
revoke all on function public.delete_webhook_endpoint(uuid, uuid) from public, anon, authenticated;
revoke all on function public.find_webhook_endpoint(uuid, uuid) from public, anon, authenticated;
revoke all on function public.change_webhook_secret(uuid, uuid, jsonb, jsonb) from public, anon, authenticated;
grant execute on function public.create_webhook_endpoint(uuid, uuid, uuid, text, text[], jsonb) to service_role;
grant execute on function public.change_webhook_endpoint(uuid, uuid, jsonb) to service_role;
grant execute on function public.delete_webhook_endpoint(uuid, uuid) to service_role;
grant execute on function public.find_webhook_endpoint(uuid, uuid) to service_role;
grant execute on function public.change_webhook_secret(uuid, uuid, jsonb, jsonb) to service_role;
