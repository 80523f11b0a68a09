-- Ending grants. A grant is first given up here, in one transaction that either wins or loses against whoever stores it; only then is it
-- revoked at the provider. A revocation that fails stays here and is repeated.

-- Whether another integration uses the grant, where the provider knows one grant for a user and an app: the same account, or the
-- same user of ours, since an account may be a part of what a user granted.
create function private.grant_is_shared(p_integration_type text, p_external_account_id text, p_user_id uuid, p_except uuid)
returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from public.integrations i
    where i.integration_type = p_integration_type and i.external_account_id = p_external_account_id and i.id is distinct from p_except
  ) or exists (
    select from public.credential_events e
    join public.integrations i on i.id = e.integration_id
    where e.user_id = p_user_id and e.integration_type = p_integration_type and e.action in ('connected', 'reconnected')
      and e.integration_id is distinct from p_except
  );
$$;

-- What whoever revokes needs to know. The config goes as text, so that one that the worker cannot read harms no other.
create function private.revocation_claim(p_row private.pending_revocations) returns jsonb
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'sealed_for', p_row.sealed_for,
    'integration_type', p_row.integration_type,
    'config', p_row.config::text
  );
$$;

-- Queues a credential of an integration for revocation; the same credential once.
create function private.queue_revocation(p_row public.integrations, p_config jsonb, p_user_id uuid, p_reason text) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, external_account_id, user_id, config, reason
  ) values (
    md5(p_row.id || p_config::text)::uuid, p_row.organization_id, p_row.id, p_row.integration_type, private.account_of(p_row), p_user_id,
    p_config, p_reason
  )
  on conflict (id) do nothing;
$$;

-- The end of a revocation, in the trail.
create function private.end_revocation(p_row private.pending_revocations, p_outcome text, p_request_id text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from private.pending_revocations r where r.id = p_row.id;
  perform private.write_event(
    'service', null, p_row.organization_id, p_row.sealed_for, p_row.integration_type, p_row.external_account_id, 'revoked', p_outcome,
    p_row.reason, p_request_id
  );
end
$$;

-- Gives up a pending connection, and leases its revocation to p_owner. p_reason: abandoned or discarded (by its user). p_wide: a
-- revocation ends all that the user granted.
--
-- abandoned: the caller revokes, then settles. kept: another integration uses the grant, so nobody revokes it. unknown: it is not
-- pending; it was stored, or given up before.
create function public.abandon_connection(
  p_id uuid, p_user_id uuid, p_owner uuid, p_reason text, p_external_account_id text, p_wide boolean, p_request_id text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_pending public.pending_connections;
  v_row private.pending_revocations;
begin
  if p_owner is null or p_wide is null then
    raise exception 'p_owner or p_wide is null' using errcode = 'invalid_parameter_value';
  end if;
  delete from public.pending_connections p where p.id = p_id and p.user_id = p_user_id returning * into v_pending;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, external_account_id, user_id, config, reason, owner, leased_until
  ) values (
    v_pending.id, v_pending.organization_id, v_pending.id, v_pending.integration_type, p_external_account_id, p_user_id,
    v_pending.config, p_reason, p_owner, now() + interval '60 seconds'
  ) returning * into v_row;
  if p_wide and private.grant_is_shared(v_row.integration_type, p_external_account_id, p_user_id, null) then
    perform private.end_revocation(v_row, 'kept', p_request_id);
    return jsonb_build_object('outcome', 'kept');
  end if;
  perform private.write_event(
    'user', p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, p_external_account_id, 'opened',
    p_reason => 'revoke', p_request_id => p_request_id
  );
  return jsonb_build_object('outcome', 'abandoned', 'revocation', private.revocation_claim(v_row));
end
$$;

-- Deletes an integration, whatever its config holds, and leases the revocation of its newest credential to p_owner. Answers
-- earlier_grant where a grant that was replaced may still exist, and shared: other integrations that a revocation of all that the user
-- granted (p_wide_types) ends, with id and whether the caller may see them; at most 100.
create function public.disconnect_integration(
  p_id uuid, p_user_id uuid, p_owner uuid, p_wide_types text[], p_request_id text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_organization_id uuid;
  v_integration public.integrations;
  v_row private.pending_revocations;
begin
  if p_owner is null or p_wide_types is null then
    raise exception 'p_owner or p_wide_types is null' using errcode = 'invalid_parameter_value';
  end if;
  select i.organization_id into v_organization_id from public.integrations i where i.id = p_id;
  if not found or not private.lock_membership(p_user_id, v_organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- The organization once more: it is the one whose membership is locked.
  select * into v_integration from public.integrations i where i.id = p_id and i.organization_id = v_organization_id for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  insert into private.pending_revocations (
    organization_id, sealed_for, integration_type, external_account_id, user_id, config, reason, owner, leased_until
  ) values (
    v_integration.organization_id, p_id, v_integration.integration_type, private.account_of(v_integration), p_user_id,
    private.newest_config(v_integration), 'disconnected', p_owner, now() + interval '60 seconds'
  ) returning * into v_row;
  delete from public.integrations i where i.id = p_id;
  perform private.write_event(
    'user', p_user_id, v_row.organization_id, p_id, v_row.integration_type, v_integration.external_account_id, 'opened',
    p_reason => 'disconnect', p_request_id => p_request_id
  );
  perform private.write_event(
    'user', p_user_id, v_row.organization_id, p_id, v_row.integration_type, v_integration.external_account_id, 'disconnected',
    p_request_id => p_request_id
  );
  return jsonb_build_object(
    'outcome', 'disconnected',
    'revocation', private.revocation_claim(v_row),
    'earlier_grant', v_integration.may_have_earlier_grant,
    'shared', coalesce(
      (
        select jsonb_agg(jsonb_build_object('id', s.id, 'visible', private.is_member(p_user_id, s.organization_id)))
        from (
          select i.id, i.organization_id from public.integrations i
          where v_row.integration_type = any (p_wide_types) and i.integration_type = v_row.integration_type
            and i.external_account_id = v_row.external_account_id
          limit 100
        ) s
      ),
      '[]'
    )
  );
end
$$;

-- Claims up to p_limit revocations that are due, of these types, in turns between organizations. Before that it moves pending connections
-- here that have expired, gives up what has failed for a day, and keeps grants of p_wide_types that another integration uses by now.
create function public.claim_revocations(
  p_owner uuid, p_limit integer, p_types text[], p_wide_types text[], p_request_id text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.pending_revocations;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_owner is null or p_limit is null or p_limit not between 1 and 100 or p_types is null or p_wide_types is null then
    raise exception 'p_limit is not between 1 and 100, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  with expired as (
    delete from public.pending_connections p
      where p.id in (
        select e.id from public.pending_connections e
        where e.expires_at <= now() order by e.expires_at limit 500 for update skip locked
      )
      returning *
  )
  insert into private.pending_revocations (id, organization_id, sealed_for, integration_type, user_id, config, reason)
    select e.id, e.organization_id, e.id, e.integration_type, e.user_id, e.config,
      case when e.accounts is null then 'abandoned' else 'expired' end
    from expired e
    on conflict (id) do nothing;

  for v_row in
    select * from private.pending_revocations r
    where r.give_up_at <= now() and (r.leased_until is null or r.leased_until <= now())
    limit 500 for update skip locked
  loop
    perform private.end_revocation(v_row, 'failed', p_request_id);
  end loop;

  for v_row in
    select r.* from private.pending_revocations r
    join (
      select d.id, row_number() over (partition by d.organization_id order by d.next_attempt_at) as turn
      from private.pending_revocations d
      where d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now()) and d.integration_type = any (p_types)
    ) due on due.id = r.id
    where r.leased_until is null or r.leased_until <= now()
    order by due.turn, r.next_attempt_at
    limit p_limit
    for update of r skip locked
  loop
    exit when v_room <= 0;
    if v_row.integration_type = any (p_wide_types)
      and private.grant_is_shared(v_row.integration_type, v_row.external_account_id, v_row.user_id, v_row.sealed_for)
    then
      perform private.end_revocation(v_row, 'kept', p_request_id);
      continue;
    end if;
    update private.pending_revocations r set owner = p_owner, leased_until = now() + interval '60 seconds' where r.id = v_row.id;
    perform private.write_event(
      'service', null, v_row.organization_id, v_row.sealed_for, v_row.integration_type, v_row.external_account_id, 'opened',
      p_reason => 'revoke', p_request_id => p_request_id
    );
    v_claims := v_claims || private.revocation_claim(v_row);
    v_room := v_room - octet_length(v_row.config::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$$;

-- Ends a leased revocation: revoked, unsupported (the provider has no endpoint for it), unreadable (the config will never open), or
-- failed, which is repeated later.
create function public.settle_revocation(p_id uuid, p_owner uuid, p_result text, p_request_id text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row private.pending_revocations;
begin
  if p_result is null or p_result not in ('revoked', 'unsupported', 'unreadable', 'failed') then
    raise exception 'p_result is not revoked, unsupported, unreadable or failed' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from private.pending_revocations r where r.id = p_id and r.owner = p_owner for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if p_result = 'failed' then
    update private.pending_revocations r
      set owner = null, leased_until = null, attempts = r.attempts + 1,
        next_attempt_at = now() + make_interval(secs => least(30 * 2 ^ least(r.attempts, 7), 3600))
      where r.id = p_id;
  else
    perform private.end_revocation(
      v_row, case p_result when 'revoked' then 'succeeded' when 'unreadable' then 'failed' else p_result end, p_request_id
    );
  end if;
  return jsonb_build_object('outcome', 'settled');
end
$$;

revoke all on function private.grant_is_shared(text, text, uuid, uuid) from public, anon, authenticated, service_role;
revoke all on function private.revocation_claim(private.pending_revocations) from public, anon, authenticated, service_role;
revoke all on function private.queue_revocation(public.integrations, jsonb, uuid, text) from public, anon, authenticated, service_role;
revoke all on function private.end_revocation(private.pending_revocations, text, text) from public, anon, authenticated, service_role;
revoke all on function public.abandon_connection(uuid, uuid, uuid, text, text, boolean, text) from public, anon, authenticated;
revoke all on function public.disconnect_integration(uuid, uuid, uuid, text[], text) from public, anon, authenticated;
revoke all on function public.claim_revocations(uuid, integer, text[], text[], text) from public, anon, authenticated;
revoke all on function public.settle_revocation(uuid, uuid, text, text) from public, anon, authenticated;
grant execute on function public.abandon_connection(uuid, uuid, uuid, text, text, boolean, text) to service_role;
grant execute on function public.disconnect_integration(uuid, uuid, uuid, text[], text) to service_role;
grant execute on function public.claim_revocations(uuid, integer, text[], text[], text) to service_role;
grant execute on function public.settle_revocation(uuid, uuid, text, text) to service_role;

notify pgrst, 'reload schema';
