-- A check with a token that is still good does not mend a client that the provider refuses.

-- Ends one check. The verdict is about the config of p_version: if another stands there by now (a reconnection, a refresh) it is void.
--
-- forbidden says nothing for certain: it may be a gatekeeper's page, or a provider's word for a grant that is over. After
-- p_forbidden_days (7 if null) without a good answer it becomes reconnect_required, unless all of the type are forbidden: then it is not
-- this grant's fault.
create function private.settle_check(
  p_id uuid, p_version text, p_status text, p_reason text, p_forbidden_days integer, p_schedule text, p_next_check_at timestamptz,
  p_user_id uuid, p_request_id text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_old public.integrations;
  v_row public.integrations;
  v_since timestamptz;
begin
  select * into v_old from public.integrations i where i.id = p_id for no key update;
  if not found or (p_user_id is not null and not private.is_member(p_user_id, v_old.organization_id)) then
    return jsonb_build_object('end', 'gone');
  end if;

  -- A schedule that was changed meanwhile has its own next moment.
  if v_old.scan_schedule is null or v_old.scan_schedule is distinct from p_schedule then
    p_next_check_at := v_old.next_check_at;
  end if;

  if p_status is null then
    delete from private.check_claims c where c.integration_id = p_id;
    update public.integrations i set next_check_at = p_next_check_at
      where i.id = p_id and i.next_check_at is distinct from p_next_check_at;
    return jsonb_build_object('end', 'released');
  end if;

  if private.version_of(v_old.config) is distinct from p_version then
    delete from private.check_claims c where c.integration_id = p_id;
    return jsonb_build_object('end', 'changed');
  end if;

  if p_reason = 'forbidden' and p_status = 'degraded' then
    insert into private.forbidden_checks (integration_id) values (p_id) on conflict (integration_id) do nothing;
    select f.since into v_since from private.forbidden_checks f where f.integration_id = p_id;
    if v_since <= now() - make_interval(days => coalesce(p_forbidden_days, 7)) and (
      private.has_succeeded(v_old.integration_type, 'check', v_since)
      or not exists (
        select from private.forbidden_checks f join public.integrations i on i.id = f.integration_id
        where i.integration_type = v_old.integration_type and i.id <> p_id
      )
    ) then
      p_status := 'reconnect_required';
    end if;
  elsif p_status = 'active' then
    delete from private.forbidden_checks f where f.integration_id = p_id;
    perform private.note_success(v_old.integration_type, 'check');
  end if;

  -- An outage says nothing about a grant that is over. And a token that is still good does not mend a grant that cannot be refreshed.
  if v_old.status in ('reconnect_required', 'revoked') and (
    p_status = 'degraded'
    or (p_status <> 'revoked' and v_old.status_reason in ('invalid_grant', 'invalid_client', 'refresh_lost', 'refresh_refused', 'not_refreshable'))
  ) then
    p_status := v_old.status;
    p_reason := v_old.status_reason;
  end if;

  update public.integrations i
    set status = p_status, status_reason = p_reason, last_checked_at = now(), next_check_at = p_next_check_at
    where i.id = p_id
    returning * into v_row;
  update private.check_claims c set until = now() + interval '10 seconds' where c.integration_id = p_id;
  perform private.write_event(
    case when p_user_id is null then 'service' else 'user' end, p_user_id, v_row.organization_id, v_row.id,
    v_row.integration_type, v_row.external_account_id, 'checked', p_status, p_reason, p_request_id
  );
  return jsonb_build_object('end', 'checked') || private.health_of(v_row);
end
$$;

revoke all on function private.settle_check(uuid, text, text, text, integer, text, timestamptz, uuid, text)
  from public, anon, authenticated, service_role;
