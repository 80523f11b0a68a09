-- Refreshes. A refresh token may work only once, so a worker that redeems it holds the row's lease, and the result is written by
-- compare-and-swap on the lease.
--
-- Lock order, everywhere: the integration's row first, then its lease.

-- Due refreshes, with all columns that a claim reads before it locks a row. A rotation writes none of them, so its updates stay HOT.
create index integrations_due_for_refresh on public.integrations (token_expires_at) include (organization_id, integration_type, id, oauth_app_id)
  where token_expires_at is not null and status in ('active', 'degraded');

-- Across all integrations, so that no two claims have the same number, even if a lease was dropped in between.
create sequence private.lease_generations;

create table public.credential_leases (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  -- Null: no owner. The owner of an expired lease may still settle until another worker takes the lease.
  owner uuid,
  expires_at timestamptz,
  -- New with each claim.
  generation bigint not null default nextval('private.lease_generations'),
  -- Set before the redemption, null once its outcome is known. A claim that finds it set knows that the provider may have redeemed the token
  -- although no result was written.
  attempted_at timestamptz,
  -- The number of redemptions since the last refresh whose outcome is unknown.
  unknown_outcomes integer not null default 0,
  -- Equal refusals since the token's expiry: their status and error code, the first one, and their number.
  refused_as text,
  refused_since timestamptz,
  refusals integer not null default 0,
  failures integer not null default 0,
  failed_at timestamptz,
  retry_at timestamptz,
  settled_at timestamptz,
  -- Who settled this generation and how, so that a write whose response was lost can be repeated.
  ended_by uuid,
  ended_as text,
  -- A refreshed config, sealed for the integration, that the row rejected. The next claim writes it instead of redeeming again.
  journal jsonb check (jsonb_typeof(journal) = 'object' and octet_length(journal::text) <= 262144),
  -- The config as it was claimed, if another writer has changed its plaintext since.
  base jsonb,
  check ((owner is null) = (expires_at is null))
);

create index credential_leases_journal on public.credential_leases (integration_id) where journal is not null;

alter table public.credential_leases enable row level security;

revoke all on table public.credential_leases from public, anon, authenticated, service_role;

revoke all on sequence private.lease_generations from public, anon, authenticated, service_role;

create function private.merged(p_refreshed jsonb, p_base jsonb, p_current jsonb) returns jsonb
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when p_base is null then p_refreshed
    else (
      select p_refreshed
        - coalesce(array_agg(m.member) filter (where not p_current ? m.member), '{}')
        || coalesce(jsonb_object_agg(m.member, p_current -> m.member) filter (where p_current ? m.member), '{}')
      from (select jsonb_object_keys(p_base) union select jsonb_object_keys(p_current)) m (member)
      where p_current -> m.member is distinct from p_base -> m.member
        and p_refreshed -> m.member is not distinct from p_base -> m.member
        -- A rotation may have sealed the current config with another key.
        and m.member <> '_enc'
        and not private.holds_secrets(jsonb_build_object(m.member, p_base -> m.member))
        and not private.holds_secrets(jsonb_build_object(m.member, p_current -> m.member))
    )
  end;
$$;

comment on function private.merged(jsonb, jsonb, jsonb) is
  'A refreshed config with the plaintext that other writers have changed since the claim: each member of p_current that differs from p_base, '
  'unless the refresh changed it too. Without p_base nothing has changed.';

create function private.brings_credentials(p_old jsonb, p_new jsonb) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_was jsonb;
  v_is jsonb;
begin
  if jsonb_typeof(p_old) <> 'object' or jsonb_typeof(p_new) <> 'object' or p_old -> '_enc' is distinct from p_new -> '_enc' then
    return true;
  end if;
  select jsonb_object_agg(o.key, o.value) into v_was from jsonb_each(p_old) o where p_new -> o.key is distinct from o.value;
  select jsonb_object_agg(n.key, n.value) into v_is from jsonb_each(p_new) n where p_old -> n.key is distinct from n.value;
  return coalesce(private.holds_secrets(v_was), false) or coalesce(private.holds_secrets(v_is), false);
end
$$;

comment on function private.brings_credentials(jsonb, jsonb) is
  'Whether a write of the config changes more than plaintext: a field with a sensitive name, or the key.';

create function private.drop_lease() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_lease public.credential_leases;
begin
  if not private.brings_credentials(old.config, new.config) then
    update public.credential_leases l set base = coalesce(l.base, old.config)
      where l.integration_id = old.id and (l.owner is not null or l.journal is not null);
    return null;
  end if;
  delete from public.credential_leases l where l.integration_id = old.id returning * into v_lease;
  delete from private.forbidden_checks f where f.integration_id = old.id;
  if v_lease.journal is not null then
    update public.integrations i set may_have_earlier_grant = true where i.id = old.id;
  end if;
  return null;
end
$$;

comment on function private.drop_lease() is
  'Ends a refresh lease when another writer stores other credentials: the refresh in progress used a token that is no longer '
  'stored. A refreshed config in the journal is deleted, so the row records that its grant may still exist. A writer of '
  'plaintext only keeps the lease: its change is merged into the refreshed config.';

-- It does not fire for a rotation, which changes only the sealing, nor when a refresh is settled.
create trigger drop_lease
  after update of config on public.integrations
  for each row
  when (
    current_setting('integrations.rewrap', true) is distinct from 'on'
    and current_setting('integrations.settle', true) is distinct from 'on'
    and old.config is distinct from new.config
  )
  execute function private.drop_lease();

create function private.take_lease(p_row public.integrations, p_owner uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_lease public.credential_leases;
  v_merged jsonb;
begin
  select private.merged(l.journal, l.base, p_row.config) into v_merged from public.credential_leases l where l.integration_id = p_row.id;
  if octet_length(v_merged::text) > 262144 then
    -- Too large for the journal. It is merged when the refreshed config is written.
    v_merged := null;
  end if;
  -- Longer than the worker needs: it starts at most 30 s after the claim, the provider has 20 s, the write and its retries 20 s.
  insert into public.credential_leases as l (integration_id, owner, expires_at, attempted_at)
    values (p_row.id, p_owner, now() + interval '90 seconds', now())
    on conflict (integration_id) do update
      set owner = p_owner,
        expires_at = excluded.expires_at,
        generation = excluded.generation,
        unknown_outcomes = l.unknown_outcomes + (l.attempted_at is not null)::integer,
        attempted_at = case when l.journal is null then now() end,
        journal = coalesce(v_merged, l.journal),
        base = case when v_merged is null and l.journal is not null then l.base end,
        ended_by = null,
        ended_as = null
      where l.owner is null or l.expires_at <= now()
    returning * into v_lease;
  if not found then
    return null;
  end if;
  return jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'generation', v_lease.generation,
    'config', coalesce(v_lease.journal, p_row.config)::text,
    'refreshed', v_lease.journal is not null
  ) || private.oauth_app(p_row.oauth_app_id);
end
$$;

comment on function private.take_lease(integrations, uuid) is
  'Takes the lease of a locked integration, records the attempt, and returns what to refresh, or the unwritten result of an '
  'earlier refresh. Null if another worker holds the lease.';

create function private.fits_after_refresh(p_config jsonb) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select octet_length(p_config::text) <= 196608;
$$;

comment on function private.fits_after_refresh(jsonb) is
  'Whether a refreshed config would still fit: with tokens of 16 KiB each it is at most 256 KiB.';

create function public.claim_refresh(
  p_id uuid, p_owner uuid, p_user_id uuid default null, p_within integer default null, p_read boolean default false,
  p_reason text default 'refresh', p_request_id text default null, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.integrations;
  v_lease public.credential_leases;
  v_wanted boolean;
  v_claim jsonb;
  v_paused_until timestamptz;
begin
  select * into v_row from public.integrations i where i.id = p_id;
  if not found or (p_user_id is not null and not private.may_change(p_user_id, v_row.organization_id)) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  -- A key that may change connections has them refreshed and checked, for which the worker opens the credential.
  if p_service_key is not null and not private.has_access(
    null, p_service_key, case p_reason when 'credential' then 'connections:credentials' else 'connections:write' end, v_row.organization_id
  ) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- Of many concurrent callers most only wait. They take no lock.
  v_wanted := p_within is null or v_row.token_expires_at <= now() + make_interval(secs => p_within);
  if v_wanted then
    perform from public.credential_leases l where l.integration_id = p_id and l.owner is not null and l.expires_at > now();
    if found then
      return jsonb_build_object('outcome', 'busy');
    end if;
  end if;

  -- The row lock keeps other writers of the config away between this read and the lease.
  select * into v_row from public.integrations i where i.id = p_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  select * into v_lease from public.credential_leases l where l.integration_id = p_id;

  if v_lease.journal is not null then
    v_wanted := true;
  elsif v_row.status in ('reconnect_required', 'revoked') or not private.fits_after_refresh(v_row.config) then
    v_wanted := false;
  elsif p_within is null then
    v_wanted := coalesce(v_lease.settled_at <= now() - interval '30 seconds', true);
  else
    v_wanted := coalesce(v_row.token_expires_at <= now() + make_interval(secs => p_within), false)
      and coalesce(v_lease.retry_at <= now(), true)
      -- A new token may live for less than p_within.
      and (coalesce(v_lease.settled_at <= now() - interval '30 seconds', true) or v_row.token_expires_at <= now());
  end if;

  if v_wanted and p_within is null and v_lease.journal is null and v_lease.failed_at > now() - interval '10 seconds' then
    return jsonb_build_object('outcome', 'failed', 'retry_at', v_lease.retry_at);
  end if;

  -- A config in the journal can be written without the provider.
  if v_wanted and v_lease.journal is null then
    v_paused_until := private.paused_until(p_id, private.client_of(v_row), 'token');
    if v_paused_until is not null and p_within is null then
      return jsonb_build_object(
        'outcome', 'failed', 'retry_at', v_paused_until,
        'paused_seconds', ceil(extract(epoch from v_paused_until - now()))::integer
      );
    end if;
    v_wanted := v_paused_until is null;
  end if;

  if v_wanted then
    v_claim := private.take_lease(v_row, p_owner);
    if v_claim is null then
      return jsonb_build_object('outcome', 'busy');
    end if;
  end if;

  if v_wanted or p_read then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'opened', p_reason => p_reason, p_request_id => p_request_id,
      p_details => private.named_key(p_service_key)
    );
  end if;
  if v_wanted then
    return v_claim || jsonb_build_object('outcome', 'claimed');
  end if;
  return jsonb_build_object(
    'outcome', 'current',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', case when p_read then v_row.config::text end,
    'version', case when p_read then private.version_of(v_row.config) end,
    'data_keys', case when p_read then public.data_keys(array[v_row.organization_id]) -> 'data_keys' end,
    'status', v_row.status,
    'status_reason', v_row.status_reason,
    'expires_at', v_row.token_expires_at,
    'paused_seconds', ceil(extract(epoch from v_paused_until - now()))::integer,
    'settled', coalesce(v_lease.settled_at > now() - interval '30 seconds', false)
  );
end
$$;

comment on function public.claim_refresh(uuid, uuid, uuid, integer, boolean, text, text, uuid) is
  'Claims the refresh of one integration. With p_within only if the access token expires within that many seconds; without it in '
  'any case. A refresh less than 30 seconds ago is not repeated, unless with p_within the token has expired. p_user_id and p_service_key null: the worker itself. With p_read the stored '
  'credential is returned, with the data keys of its organization, when there is nothing to refresh. Returns claimed (refresh and settle), busy (another worker refreshes; '
  'ask again), failed (it has just failed, or the provider is paused for paused_seconds), current, or unknown.';

create function public.claim_due_refreshes(
  p_owner uuid, p_limit integer, p_within integer, p_types text[], p_request_id text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_limit is null or p_limit not between 1 and 500 or p_within is null or p_types is null then
    raise exception 'p_limit is not between 1 and 500, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  for v_row in
    select i.*
    from (
      (
        select l.integration_id as id, 0 as turn from public.credential_leases l
        where l.journal is not null and (l.owner is null or l.expires_at <= now()) and coalesce(l.retry_at <= now(), true)
        limit p_limit
      )
      union all
      select d.id, d.turn from private.due_refreshes(p_limit, p_within, private.without_paused(p_types, 'token')) d
      where not exists (select from public.credential_leases l where l.integration_id = d.id and l.journal is not null)
    ) c
    join public.integrations i on i.id = c.id
    where c.turn = 0 or private.fits_after_refresh(i.config)
    order by c.turn, i.token_expires_at
    limit p_limit
    for no key update of i skip locked
  loop
    exit when v_room <= 0;
    v_claim := private.take_lease(v_row, p_owner);
    continue when v_claim is null;
    perform private.write_event(
      'service', null, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'opened',
      p_reason => 'refresh', p_request_id => p_request_id
    );
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$$;

comment on function public.claim_due_refreshes(uuid, integer, integer, text[], text) is
  'Claims up to p_limit refreshes for the schedule: first configs in the journal, then tokens that expire within p_within seconds, of '
  'these types and of organizations'' own apps. Organizations take turns, each with the token that expires soonest, so none waits for the whole backlog of another. Rows that '
  'others have locked are skipped. Together the configs are at most about a megabyte.';

create function private.lock_lease(p_id uuid, p_owner uuid, p_generation bigint) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_lease public.credential_leases;
begin
  perform from public.integrations i where i.id = p_id for no key update;
  if not found then
    return 'gone';
  end if;
  select * into v_lease from public.credential_leases l
    where l.integration_id = p_id and l.generation = p_generation for update;
  if v_lease.owner = p_owner then
    return null;
  end if;
  return case when v_lease.ended_by = p_owner then v_lease.ended_as else 'changed' end;
end
$$;

comment on function private.lock_lease(uuid, uuid, bigint) is
  'Locks the integration, then its lease. Returns null if the caller holds the lease, otherwise why not: gone, changed (the '
  'config was rewritten or the lease taken over), or how the caller ended this lease earlier.';

create function private.record_refresh_event(
  p_row public.integrations, p_user_id uuid, p_service_key uuid, p_action text, p_outcome text, p_reason text, p_request_id text
) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, p_row.organization_id, p_row.id, p_row.integration_type,
    p_row.external_account_id, p_action, p_outcome, p_reason, p_request_id, private.named_key(p_service_key)
  );
end
$$;

comment on function private.record_refresh_event(integrations, uuid, uuid, text, text, text, text) is
  'Records how a refresh ended.';

create function private.settle_refresh(
  p_id uuid, p_owner uuid, p_generation bigint, p_config jsonb, p_user_id uuid, p_request_id text, p_service_key uuid
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ended text;
  v_row public.integrations;
begin
  begin
    v_ended := private.lock_lease(p_id, p_owner, p_generation);
    if v_ended is not null then
      return v_ended;
    end if;
    perform set_config('integrations.settle', 'on', true);
    update public.integrations i
      set config = private.merged(
          p_config, (select l.base from public.credential_leases l where l.integration_id = p_id), i.config
        ),
        status = 'active',
        status_reason = null
      where i.id = p_id
      returning * into v_row;
    perform set_config('integrations.settle', 'off', true);
    update public.credential_leases l
      set owner = null, expires_at = null, attempted_at = null, unknown_outcomes = 0, failures = 0, failed_at = null, retry_at = null,
        refused_as = null, refused_since = null, refusals = 0, settled_at = now(), ended_by = p_owner, ended_as = 'settled', journal = null,
        base = null
      where l.integration_id = p_id;
    perform private.note_success(private.client_of(v_row), 'refresh');
    perform private.record_refresh_event(v_row, p_user_id, p_service_key, 'refreshed', 'succeeded', null, p_request_id);
    return 'settled';
  exception when sqlstate 'IK004' then
    -- The lease still holds: the worker seals with another data key, and settles again.
    return 'data_key_deleted';
  when sqlstate 'IK001' or lock_not_available or deadlock_detected then
    -- The fence of a rotation rejects this worker's key, or the table is locked. The tokens exist nowhere else: the journal keeps them,
    -- sealed, for a worker that may write. If their data key is being deleted, this waits, and the worker seals with another.
    if p_config->'_enc'->'v' = '3' then
      perform from private.data_keys d join public.integrations i on i.organization_id = d.organization_id
        where i.id = p_id and d.kid = p_config->'_enc'->>'kid'
        for key share of d;
      if not found then
        return 'data_key_deleted';
      end if;
    end if;
    update public.credential_leases l
      set owner = null, expires_at = null, attempted_at = null, retry_at = now() + interval '30 seconds', ended_by = p_owner,
        ended_as = 'journalled', journal = p_config
      where l.integration_id = p_id and l.owner = p_owner and l.generation = p_generation;
    return case when found then 'journalled' else 'changed' end;
  end;
end
$$;

comment on function private.settle_refresh(uuid, uuid, bigint, jsonb, uuid, text, uuid) is
  'Stores a refreshed config. If the row may not be written now, because of a rotation''s fence, the config is kept in the lease '
  'for the next claim.';

create function public.settle_refreshes(
  p_owner uuid, p_results jsonb, p_user_id uuid default null, p_request_id text default null, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_result record;
  v_end text;
  v_ends jsonb := '{}';
begin
  if p_owner is null or jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 500 then
    raise exception 'p_results is no list of at most 500' using errcode = 'invalid_parameter_value';
  end if;
  -- In the order of ids, as every function that locks several rows.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (
        id uuid, generation bigint, config jsonb, fault text, retry_after integer, refusal jsonb, organization_id uuid,
        integration_type text, oauth_app_id uuid
      )
    order by r.id
  loop
    if (v_result.config is null) = (v_result.fault is null)
      or v_result.fault not in ('outcome_unknown', 'refused', 'unreadable', 'app_unreadable', 'invalid_grant', 'invalid_client', 'not_refreshable',
        'released')
      or jsonb_typeof(v_result.config) <> 'object'
      or octet_length(v_result.config::text) > 262144
    then
      raise exception 'a result is neither a config of at most 256 KiB nor a known fault' using
        errcode = 'invalid_parameter_value';
    end if;
    if v_result.refusal is not null and (
      coalesce(char_length(v_result.refusal->>'alike') not between 1 and 128, true)
      or coalesce(jsonb_typeof(v_result.refusal->'may_be_ours') <> 'boolean', true)
      or coalesce((v_result.refusal->>'tries')::integer not between 2 and 1000, true)
    ) then
      raise exception 'a refusal is not {"alike", "may_be_ours", "tries"} within bounds' using errcode = 'invalid_parameter_value';
    end if;
    begin
      v_end := case
        when v_result.config is not null then private.settle_refresh(
          v_result.id, p_owner, v_result.generation, v_result.config, p_user_id, p_request_id, p_service_key)
        else private.fail_refresh(
          v_result.id, p_owner, v_result.generation, v_result.fault, v_result.retry_after, v_result.refusal, p_user_id, p_request_id,
          p_service_key)
      end;
    exception when lock_not_available or deadlock_detected then
      -- A row that cannot be locked must not undo the others. Its lease expires, and the attempt stays recorded.
      v_end := 'backed_off';
    end;
    if v_end = 'gone' and v_result.config is not null and v_result.organization_id is not null then
      -- The integration was deleted during the refresh. The new tokens are stored nowhere else. Without its app nobody can revoke a grant.
      insert into private.pending_revocations (
        id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, config, reason
      )
        select md5(v_result.id || v_result.config::text)::uuid, v_result.organization_id, v_result.id, v_result.integration_type,
          v_result.oauth_app_id, e.external_account_id, e.user_id, v_result.config, 'late'
        from (values (v_result.id)) deleted (id)
        left join lateral (
          select o.external_account_id, o.user_id from public.credential_events o
          where o.integration_id = deleted.id and o.action in ('connected', 'reconnected') order by o.id desc limit 1
        ) e on true
        where v_result.oauth_app_id is null or exists (select from private.oauth_apps a where a.id = v_result.oauth_app_id)
        on conflict (id) do nothing;
    elsif v_end = 'changed' and v_result.config is not null then
      -- The grant was replaced during the refresh, and is queued for revocation.
      update private.pending_revocations r
        set config = v_result.config, refresh_generation = null, next_attempt_at = now()
        where r.sealed_for = v_result.id and r.refresh_generation = v_result.generation;
    end if;
    v_ends := v_ends || jsonb_build_object(v_result.id::text, v_end);
  end loop;
  return jsonb_build_object('outcome', 'ended', 'ends', v_ends);
end
$$;

comment on function public.settle_refreshes(uuid, jsonb, uuid, text, uuid) is
  'Settles up to 500 refreshes that p_owner has claimed, each by itself: [{id, generation, config}] for what was refreshed, [{id, '
  'generation, fault, retry_after?}] for what was not. Returns the outcome of each: settled, journalled (the config is kept and '
  'written later), backed_off, reconnect_required, released, changed, or gone. The fresh tokens of an integration that is gone, or '
  'whose grant was replaced by a separate one, are queued for revocation. May be repeated. data_key_deleted: the data key that sealed the config has '
  'been deleted, and the claim still holds.';

create function private.newest_config(p_row public.integrations) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    (select private.merged(l.journal, l.base, p_row.config) from public.credential_leases l where l.integration_id = p_row.id),
    p_row.config
  );
$$;

comment on function private.newest_config(integrations) is
  'The newest credential of an integration: the result of a refresh that could not be written yet, otherwise the config.';

-- A pause that a provider asked one integration for, at its token endpoint or at its API. It covers this integration, and counts as evidence
-- of its organization for a pause of the whole type.
create table private.integration_pauses (
  integration_id uuid not null references public.integrations (id) on delete cascade,
  endpoint text not null check (endpoint in ('token', 'api')),
  organization_id uuid not null,
  -- As private.client_of returns it.
  client text not null check (char_length(client) between 1 and 64),
  noted_at timestamptz not null default now(),
  until timestamptz not null,
  primary key (integration_id, endpoint)
);

create index integration_pauses_noted_at on private.integration_pauses (client, endpoint, noted_at);

-- A pause of all integrations of an OAuth client, at one endpoint: the limit is the client's. An integration type stands for the
-- deployment's client, the id of an app for an organization's own (private.client_of).
create table private.provider_pauses (
  client text not null check (char_length(client) between 1 and 64),
  endpoint text not null check (endpoint in ('token', 'api')),
  until timestamptz not null,
  primary key (client, endpoint)
);

alter table private.integration_pauses enable row level security;

alter table private.provider_pauses enable row level security;

revoke all on table private.integration_pauses from public, anon, authenticated, service_role;

revoke all on table private.provider_pauses from public, anon, authenticated, service_role;

create function private.paused_until(p_id uuid, p_client text, p_endpoint text) returns timestamptz
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select greatest(
    (select p.until from private.provider_pauses p
      where p.client = p_client and p.endpoint = p_endpoint and p.until > now()),
    (select p.until from private.integration_pauses p
      where p.integration_id = p_id and p.endpoint = p_endpoint and p.until > now())
  );
$$;

comment on function private.paused_until(uuid, text, text) is
  'When the worker may ask the provider again for an integration of this client (private.client_of); null: now.';

create function private.without_paused(p_types text[], p_endpoint text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(array_agg(t.kind), '{}') from unnest(p_types) t (kind)
  where not exists (
    select from private.provider_pauses p
    where p.client = t.kind and p.endpoint = p_endpoint and p.until > now()
  );
$$;

comment on function private.without_paused(text[], text) is
  'Those of the types whose client of the deployment is not paused at this endpoint.';

create function private.pause(p_row public.integrations, p_endpoint text, p_until timestamptz, p_organizations integer) returns timestamptz
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_client text := private.client_of(p_row);
  v_until timestamptz;
begin
  if p_organizations not between 1 and 100 then
    raise exception 'p_organizations is not between 1 and 100' using errcode = 'invalid_parameter_value';
  end if;
  insert into private.integration_pauses as p (integration_id, endpoint, organization_id, client, until)
    values (p_row.id, p_endpoint, p_row.organization_id, v_client, least(p_until, now() + interval '1 hour'))
    on conflict (integration_id, endpoint) do update set
      organization_id = excluded.organization_id,
      client = excluded.client,
      noted_at = now(),
      until = greatest(p.until, excluded.until);

  select o.until into v_until
    from (
      select max(p.until) as until from private.integration_pauses p
      where p.client = v_client and p.endpoint = p_endpoint
        and p.noted_at > now() - interval '10 minutes' and p.until > now()
      group by p.organization_id
    ) o
    where p_organizations is not null
    order by o.until desc
    -- An organization's own app has only that one.
    offset case when p_row.oauth_app_id is null then p_organizations else 1 end - 1 limit 1;
  if v_until is not null then
    insert into private.provider_pauses as p (client, endpoint, until)
      values (v_client, p_endpoint, v_until)
      on conflict (client, endpoint) do update set until = greatest(p.until, excluded.until)
      returning p.until into v_until;
  end if;
  return v_until;
end
$$;

comment on function private.pause(integrations, text, timestamp with time zone, integer) is
  'Stores the pause of a locked integration, an hour at most, and if so many organizations are paused that of its client. Returns until '
  'when the client is paused, or null.';

create function public.pause_provider(p_id uuid, p_endpoint text, p_seconds integer, p_organizations integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
  v_until timestamptz;
begin
  if p_seconds is null or p_seconds not between 1 and 3600 then
    raise exception 'p_seconds is not between 1 and 3600' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from public.integrations i where i.id = p_id for key share;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  v_until := private.pause(v_row, p_endpoint, now() + make_interval(secs => p_seconds), p_organizations);
  if v_until is null then
    return jsonb_build_object('outcome', 'paused');
  end if;
  return jsonb_build_object('outcome', 'type_paused', 'until', v_until);
end
$$;

comment on function public.pause_provider(uuid, text, integer, integer) is
  'Stores a pause that a provider asked an integration for: p_seconds, at most an hour. A provider that needs longer can ask again. '
  'p_organizations: how many organizations must be paused within ten minutes before the pause covers the whole type, which means the '
  'integrations of the deployment''s app; null: it never does. One is enough for an organization''s own app. The type is paused for as long as that many organizations are, so no single one makes its pause '
  'longer. A longer pause stays. Returns paused (the integration), type_paused (all of its type) or unknown (the '
  'integration is gone).';

create function private.in_turns(p_due text, p_types text[], p_until timestamptz, p_limit integer)
returns table (id uuid, turn integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare
  c_share constant integer := greatest(1, p_limit / 10);
  -- More than are claimed: several workers see the same first rows, and each takes those that the others have not locked.
  v_size integer := p_limit * 4;
  v_left_out uuid[] := '{}';
  v_window record;
begin
  for pass in 1..8 loop
    -- Executed as text, so that it is planned with the actual values.
    execute format(
      $q$
        with seen as (%s), ranked as (
          select s.id, s.organization_id, row_number() over (partition by s.organization_id order by s.due_at)::integer as turn
          from seen s
        )
        select count(*) as rows, coalesce(array_agg(r.organization_id) filter (where r.turn = $5), '{}') as full_shares,
          coalesce(array_agg(r.id) filter (where $6 or r.turn <= $5), '{}') as ids,
          coalesce(array_agg(r.turn) filter (where $6 or r.turn <= $5), '{}') as turns
        from ranked r
      $q$,
      p_due
    ) into v_window using p_types, p_until, v_left_out, v_size, c_share, pass = 1;
    return query select w.id, w.turn from unnest(v_window.ids, v_window.turns) w (id, turn);
    v_left_out := v_left_out || v_window.full_shares;
    exit when v_window.rows < v_size or cardinality(v_window.full_shares) = 0;
    v_size := 10000;
  end loop;
end
$$;

comment on function private.in_turns(text, text[], timestamp with time zone, integer) is
  'Reads due rows, the longest due first, a window at a time. An organization that fills its share of a window is left out '
  'of the next ones, so the rows of others are found behind its backlog. Windows are bounded in size and number. Returns each row''s id and '
  'its turn within its organization. p_due is a query of this schema''s functions, never text from outside. It returns '
  'id, organization_id and due_at of rows of the types $1 that are due until $2, without the organizations $3, the first $4 by due_at.';

create function private.due_refreshes(p_limit integer, p_within integer, p_types text[]) returns table (id uuid, turn integer)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select t.id, t.turn from private.in_turns(
    $q$
      select d.id, d.organization_id, d.token_expires_at as due_at from public.integrations d
      left join public.credential_leases l on l.integration_id = d.id
      where d.token_expires_at <= $2
        and d.token_expires_at is not null and d.status in ('active', 'degraded')
        and d.organization_id <> all ($3)
        and case
          when d.oauth_app_id is null then d.integration_type = any ($1)
          else not exists (
            select from private.provider_pauses p
            where p.client = d.oauth_app_id::text and p.endpoint = 'token' and p.until > now()
          )
        end
        and (l.owner is null or l.expires_at <= now())
        and coalesce(l.retry_at <= now(), true)
        -- A token that lives for less than twice p_within is refreshed after half of its life.
        and coalesce(now() >= l.settled_at + (d.token_expires_at - l.settled_at) / 2, true)
        and not exists (
          select from private.integration_pauses p
          where p.integration_id = d.id and p.endpoint = 'token' and p.until > now()
        )
      order by d.token_expires_at
      limit $4
    $q$,
    p_types, now() + make_interval(secs => p_within), p_limit
  ) t;
$$;

comment on function private.due_refreshes(integer, integer, text[]) is
  'The rows of these types, and of organizations'' own apps, whose tokens expire within p_within seconds and have lived for half of their '
  'life, by turns of their organizations.';

create function private.fail_refresh(
  p_id uuid, p_owner uuid, p_generation bigint, p_fault text, p_retry_after integer, p_refusal jsonb, p_user_id uuid, p_request_id text,
  p_service_key uuid
) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_ended text;
  v_row public.integrations;
  v_lease public.credential_leases;
  v_reason text := p_fault;
  v_has_expired boolean;
begin
  v_ended := private.lock_lease(p_id, p_owner, p_generation);
  -- The config was rewritten since the claim: the refused token is not the one that is stored now.
  if v_ended is not null then
    return v_ended;
  end if;
  select * into v_row from public.integrations i where i.id = p_id;
  v_has_expired := coalesce(v_row.token_expires_at <= now(), false);

  if p_fault = 'refused' and p_refusal is not null and v_has_expired then
    update public.credential_leases l
      set refused_as = p_refusal->>'alike',
        refused_since = case when l.refused_as = p_refusal->>'alike' then l.refused_since else now() end,
        refusals = case when l.refused_as = p_refusal->>'alike' then l.refusals + 1 else 1 end
      where l.integration_id = p_id;
  end if;
  select * into v_lease from public.credential_leases l where l.integration_id = p_id;

  v_ended := case
    when p_fault = 'released' then 'released'
    when p_fault in ('invalid_grant', 'invalid_client') then 'reconnect_required'
    when p_fault = 'not_refreshable' and v_has_expired then 'reconnect_required'
    when p_fault = 'refused' and v_has_expired
      and v_lease.refusals >= (p_refusal->>'tries')::integer
      and v_lease.refused_since <= now() - interval '1 day'
      and (
        not (p_refusal->>'may_be_ours')::boolean
        or private.has_succeeded(private.client_of(v_row), 'refresh', v_lease.refused_since)
      )
      then 'reconnect_required'
    else 'backed_off'
  end;
  update public.credential_leases l
    set owner = null, expires_at = null, attempted_at = null, ended_by = p_owner, ended_as = v_ended,
      unknown_outcomes = l.unknown_outcomes + (p_fault = 'outcome_unknown')::integer,
      failures = l.failures + (v_ended = 'backed_off')::integer,
      failed_at = case when p_fault in ('released', 'not_refreshable') then l.failed_at else now() end,
      retry_at = case
        when v_ended <> 'backed_off' then l.retry_at
        when p_fault = 'not_refreshable' then coalesce(v_row.token_expires_at, 'infinity')
        else now() + make_interval(
          secs => greatest(least(30 * 2 ^ least(l.failures, 7), 3600), least(coalesce(p_retry_after, 0), 86400))
        )
      end
    where l.integration_id = p_id;

  if p_fault in ('released', 'not_refreshable') and v_ended <> 'reconnect_required' then
    return v_ended;
  end if;
  if v_ended = 'reconnect_required' then
    -- The grant ended after a redemption whose response was lost. That may be the cause: a provider that sees a token twice treats it
    -- as stolen.
    v_reason := case
      when p_fault = 'invalid_grant' and v_lease.unknown_outcomes > 0 then 'refresh_lost'
      when p_fault = 'refused' then 'refresh_refused'
      else p_fault
    end;
    update public.integrations i set status = 'reconnect_required', status_reason = v_reason where i.id = p_id;
  elsif v_row.status = 'active' and (v_has_expired or p_fault = 'unreadable') then
    -- Its token has expired, or its config does not open: it does not work now, but may again.
    update public.integrations i
      set status = 'degraded', status_reason = case when p_fault in ('unreadable', 'app_unreadable') then p_fault else 'refresh_failed' end
      where i.id = p_id;
  end if;
  perform private.record_refresh_event(
    v_row, p_user_id, p_service_key, 'refresh_failed', case v_ended when 'backed_off' then 'failed' else v_ended end, v_reason, p_request_id
  );
  return v_ended;
end
$$;

comment on function private.fail_refresh(uuid, uuid, bigint, text, integer, jsonb, uuid, text, uuid) is
  'p_fault: outcome_unknown (the provider may have redeemed the token: no answer, or an unreadable one), refused (it has not, and may '
  'later), unreadable (the stored config does not open), app_unreadable (the secret of the organization''s own app does not open), invalid_grant (the token is no longer valid), invalid_client (the '
  'user''s own client is no longer valid, or may not have tokens), not_refreshable (there is no refresh token), released (the provider '
  'was not asked). p_refusal describes a refusal: {"alike", "may_be_ours", "tries"}. After the token has expired, equal '
  'refusals are counted. Once there are as many as tries, the first of them more than a day old, the grant counts as ended. If our '
  'client or the endpoint may be the cause, every connection of the client would be refused: then another one must have been '
  'refreshed since the first.';

-- When a refresh and a check of a client (private.client_of) last succeeded, to within ten minutes.
create table private.provider_successes (
  client text not null,
  act text not null check (act in ('refresh', 'check')),
  at timestamptz not null default now(),
  primary key (client, act)
);

alter table private.provider_successes enable row level security;

revoke all on table private.provider_successes from public, anon, authenticated, service_role;

create function private.note_success(p_client text, p_act text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from private.provider_successes s
    where s.client = p_client and s.act = p_act and s.at > now() - interval '10 minutes';
  if found then
    return;
  end if;
  update private.provider_successes s set at = now()
    where (s.client, s.act) in (
      select o.client, o.act from private.provider_successes o
      where o.client = p_client and o.act = p_act
      for update skip locked
    );
  if not found then
    insert into private.provider_successes (client, act) values (p_client, p_act) on conflict do nothing;
  end if;
end
$$;

comment on function private.note_success(text, text) is
  'Records a success. It never waits for a lock: a concurrent caller records the same.';

create function private.has_succeeded(p_client text, p_act text, p_since timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from private.provider_successes s where s.client = p_client and s.act = p_act and s.at > p_since
  );
$$;

comment on function private.has_succeeded(text, text, timestamp with time zone) is
  'Whether a connection of the client has had a success since then.';

create function public.admit_renewal(p_address text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_seconds integer;
begin
  if p_address is null then
    raise exception 'p_address is null' using errcode = 'invalid_parameter_value';
  end if;
  v_seconds := private.admit('renewals of an address', p_address, 100, '10 minutes', '1 second', '1 minute');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted');
end
$$;

comment on function public.admit_renewal(text) is
  'Counts an attempt to refresh a session, before it is made, so that a stranger''s guesses do not use up the worker''s limit at Supabase '
  'Auth. Returns admitted or too_many with seconds.';

revoke all on function 
  private.merged(jsonb, jsonb, jsonb),
  private.brings_credentials(jsonb, jsonb),
  private.drop_lease(),
  private.take_lease(integrations, uuid),
  private.fits_after_refresh(jsonb),
  private.lock_lease(uuid, uuid, bigint),
  private.record_refresh_event(integrations, uuid, uuid, text, text, text, text),
  private.settle_refresh(uuid, uuid, bigint, jsonb, uuid, text, uuid),
  private.newest_config(integrations),
  private.paused_until(uuid, text, text),
  private.without_paused(text[], text),
  private.pause(integrations, text, timestamp with time zone, integer),
  private.in_turns(text, text[], timestamp with time zone, integer),
  private.due_refreshes(integer, integer, text[]),
  private.fail_refresh(uuid, uuid, bigint, text, integer, jsonb, uuid, text, uuid),
  private.note_success(text, text),
  private.has_succeeded(text, text, timestamp with time zone),
  public.claim_refresh(uuid, uuid, uuid, integer, boolean, text, text, uuid),
  public.claim_due_refreshes(uuid, integer, integer, text[], text),
  public.settle_refreshes(uuid, jsonb, uuid, text, uuid),
  public.pause_provider(uuid, text, integer, integer),
  public.admit_renewal(text)
from public, anon, authenticated, service_role;
grant execute on function 
  public.claim_refresh(uuid, uuid, uuid, integer, boolean, text, text, uuid),
  public.claim_due_refreshes(uuid, integer, integer, text[], text),
  public.settle_refreshes(uuid, jsonb, uuid, text, uuid),
  public.pause_provider(uuid, text, integer, integer),
  public.admit_renewal(text)
to service_role;

-- Health checks: the worker claims them, runs them and settles them with a verdict.
--
-- Lock order: the integration's row first, then its claim.

-- A claim prevents a second check of an integration at the same time and shortly afterwards, because the provider's limit is shared.
create table private.check_claims (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  until timestamptz not null
);

alter table private.check_claims enable row level security;

revoke all on table private.check_claims from public, anon, authenticated, service_role;

create function private.schedule_next_check() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if new.status in ('reconnect_required', 'revoked') then
    new.next_check_at := null;
  elsif old.status in ('reconnect_required', 'revoked') then
    new.next_check_at := coalesce(new.next_check_at, now());
  end if;
  return new;
end
$$;

comment on function private.schedule_next_check() is
  'Stops scheduled checks of an integration that needs a reconnection, and makes it due once it is reconnected. Rows without a '
  'schedule are left alone: an earlier application may use next_check_at itself.';

create trigger schedule_next_check
  before update of status, next_check_at on public.integrations
  for each row
  when (new.scan_schedule is not null)
  execute function private.schedule_next_check();

-- Due checks by type: a claim skips a type whose provider is paused without reading its rows. A rotation writes none of these columns, so
-- its updates stay HOT.
create index integrations_due_for_check on public.integrations (integration_type, next_check_at)
  where oauth_app_id is null and scan_schedule is not null and next_check_at is not null and status in ('active', 'degraded');

-- The same for organizations' own apps, which have pauses of their own.
create index integrations_of_apps_due_for_check on public.integrations (next_check_at)
  where oauth_app_id is not null and scan_schedule is not null and next_check_at is not null and status in ('active', 'degraded');

create function private.take_check(
  p_row public.integrations, p_soon integer, p_user_id uuid, p_request_id text, p_service_key uuid
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_is_current boolean;
begin
  -- Longer than a check can take, including its refresh.
  insert into private.check_claims as c (integration_id, until)
    values (p_row.id, now() + interval '10 minutes')
    on conflict (integration_id) do update set until = excluded.until where c.until <= now();
  if not found then
    return null;
  end if;

  v_is_current := coalesce(p_row.token_expires_at > now() + make_interval(secs => p_soon), true) and not exists (
    select from public.credential_leases l where l.integration_id = p_row.id and l.journal is not null
  );
  if v_is_current then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, p_row.organization_id, p_row.id, p_row.integration_type,
      p_row.external_account_id, 'opened', p_reason => 'check', p_request_id => p_request_id,
      p_details => private.named_key(p_service_key)
    );
  end if;
  return jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'account_id', private.account_of(p_row),
    'scan_schedule', p_row.scan_schedule,
    'version', private.version_of(p_row.config),
    'config', case when v_is_current then p_row.config::text end
  ) || private.oauth_app(p_row.oauth_app_id);
end
$$;

comment on function private.take_check(integrations, integer, uuid, text, uuid) is
  'Claims the check of a locked integration. Returns null if another worker checks it or has just checked it. Returns no config '
  'if its token expires within p_soon seconds or a refreshed one is not written yet: then claim_refresh returns it. The version '
  'identifies the config that the verdict will be about.';

create function private.health_of(p_row public.integrations) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'status', p_row.status,
    'status_reason', p_row.status_reason,
    'last_checked_at', p_row.last_checked_at,
    'next_check_at', p_row.next_check_at
  );
$$;

comment on function private.health_of(integrations) is
  'The result of a check as the API returns it.';

create function public.claim_check(
  p_id uuid, p_user_id uuid, p_soon integer, p_request_id text default null, p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_paused_until timestamptz;
begin
  if p_soon is null then
    raise exception 'p_soon is null' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from public.integrations i where i.id = p_id;
  if not found
    or (coalesce(p_user_id, p_service_key) is not null and not private.has_write_access(p_user_id, p_service_key, 'connections:write', v_row.organization_id))
  then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  select * into v_row from public.integrations i where i.id = p_id and i.organization_id = v_row.organization_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if v_row.last_checked_at > now() - interval '10 seconds' then
    return jsonb_build_object('outcome', 'recent') || private.health_of(v_row);
  end if;
  v_paused_until := private.paused_until(p_id, private.client_of(v_row), 'api');
  if v_paused_until is not null then
    return jsonb_build_object('outcome', 'paused', 'seconds', ceil(extract(epoch from v_paused_until - now()))::integer);
  end if;
  v_claim := private.take_check(v_row, p_soon, p_user_id, p_request_id, p_service_key);
  if v_claim is null then
    return jsonb_build_object('outcome', 'busy');
  end if;
  return jsonb_build_object('outcome', 'claimed') || v_claim;
end
$$;

comment on function public.claim_check(uuid, uuid, integer, text, uuid) is
  'Claims the check of one integration for a user or a service key, or with neither for the worker itself. Returns claimed, recent (checked '
  'less than 10 seconds ago, with the result), busy, paused with seconds, or unknown.';

create function private.due_checks(p_limit integer, p_types text[]) returns table (id uuid, turn integer)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select t.id, t.turn from private.in_turns(
    replace(
      $q$
        select d.* from (
          select u.* from unnest($1) t (kind)
          cross join lateral (
            select c.id, c.organization_id, c.next_check_at as due_at from public.integrations c
            where c.oauth_app_id is null and c.integration_type = t.kind and c.is_due
            order by c.next_check_at
            limit $4
          ) u
          union all
          (
            select c.id, c.organization_id, c.next_check_at as due_at from public.integrations c
            where c.oauth_app_id is not null and c.is_due
              and not exists (
                select from private.provider_pauses p
                where p.client = c.oauth_app_id::text and p.endpoint = 'api' and p.until > now()
              )
            order by c.next_check_at
            limit $4
          )
        ) d
        order by d.due_at
        limit $4
      $q$,
      'c.is_due',
      $q$
        c.next_check_at <= $2
        and c.scan_schedule is not null and c.next_check_at is not null and c.status in ('active', 'degraded')
        and c.organization_id <> all ($3)
        and not exists (select from private.check_claims k where k.integration_id = c.id and k.until > now())
        and not exists (
          select from private.integration_pauses p
          where p.integration_id = c.id and p.endpoint = 'api' and p.until > now()
        )
        and not exists (
          select from public.credential_leases l
          where l.integration_id = c.id and l.owner is not null and l.expires_at > now()
        )
      $q$
    ),
    p_types, now(), p_limit
  ) t;
$$;

comment on function private.due_checks(integer, text[]) is
  'The rows of these types, and of organizations'' own apps, that are due for a check, by turns of their organizations.';

create function public.claim_due_checks(p_limit integer, p_types text[], p_soon integer, p_request_id text default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_limit is null or p_limit not between 1 and 100 or p_types is null or p_soon is null then
    raise exception 'p_limit is not between 1 and 100, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  for v_row in
    select i.* from private.due_checks(p_limit, private.without_paused(p_types, 'api')) d
    join public.integrations i on i.id = d.id
    -- Again, for a row that was checked between the read and the lock.
    where i.next_check_at <= now() and i.scan_schedule is not null and i.status in ('active', 'degraded')
    order by d.turn, i.next_check_at
    limit p_limit
    for no key update of i skip locked
  loop
    exit when v_room <= 0;
    v_claim := private.take_check(v_row, p_soon, null, p_request_id, null);
    continue when v_claim is null;
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$$;

comment on function public.claim_due_checks(integer, text[], integer, text) is
  'Claims up to p_limit due checks of these types and of organizations'' own apps. Organizations take turns, each with its longest due row first, so none waits '
  'for another''s whole backlog. It leaves out rows of a paused provider, and rows that another worker checks or refreshes. '
  'Together the configs are at most about a megabyte.';

create function public.settle_checks(
  p_results jsonb, p_user_id uuid default null, p_request_id text default null, p_scan_types text[] default '{}',
  p_service_key uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_result record;
  v_end jsonb;
  v_ends jsonb := '{}';
begin
  if jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 100 then
    raise exception 'p_results is no list of at most 100' using errcode = 'invalid_parameter_value';
  end if;
  -- In the order of ids, as every function that locks several rows.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (id uuid, version text, status text, reason text, forbidden_days integer, schedule text, next_check_at timestamptz)
    order by r.id
  loop
    if v_result.id is null
      or v_result.status not in ('active', 'degraded', 'reconnect_required', 'revoked')
      or (v_result.reason is null) <> (coalesce(v_result.status, 'active') = 'active')
      or v_result.forbidden_days not between 0 and 365
    then
      raise exception 'a result is no known status with a reason where it is not active' using
        errcode = 'invalid_parameter_value';
    end if;
    begin
      v_end := private.settle_check(
        v_result.id, v_result.version, v_result.status, v_result.reason, v_result.forbidden_days, v_result.schedule, v_result.next_check_at, p_user_id,
        p_request_id, p_scan_types, p_service_key
      );
    exception when lock_not_available or deadlock_detected then
      -- A row that cannot be locked must not undo the others. Its claim expires.
      v_end := jsonb_build_object('end', 'busy');
    end;
    v_ends := v_ends || jsonb_build_object(v_result.id::text, v_end);
  end loop;
  return jsonb_build_object('outcome', 'ended', 'ends', v_ends);
end
$$;

comment on function public.settle_checks(jsonb, uuid, text, text[], uuid) is
  'Settles up to 100 checks, each by itself: [{id, version, status, reason?, schedule?, next_check_at?}]; without a status the '
  'claim is released. next_check_at follows from the schedule that was claimed. p_scan_types: the types that the scanner has checks '
  'for. When a slot of the schedule passes, an active integration of these types is queued for the scanner; for another one a run '
  'is recorded that did not run. Returns the outcome of each: checked with the result, changed (another config is stored; nothing was written), released, gone, or busy.';

create function private.settle_check(
  p_id uuid, p_version text, p_status text, p_reason text, p_forbidden_days integer, p_schedule text, p_next_check_at timestamptz,
  p_user_id uuid, p_request_id text, p_scan_types text[], p_service_key uuid
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_old public.integrations;
  v_row public.integrations;
  v_since timestamptz;
  v_slot timestamptz;
begin
  select * into v_old from public.integrations i where i.id = p_id for no key update;
  if not found
    or (coalesce(p_user_id, p_service_key) is not null and not private.has_access(p_user_id, p_service_key, 'connections:write', v_old.organization_id))
  then
    return jsonb_build_object('end', 'gone');
  end if;

  -- A schedule that was changed since the claim has its own next time.
  if v_old.scan_schedule is null or v_old.scan_schedule is distinct from p_schedule then
    p_next_check_at := v_old.next_check_at;
  end if;
  -- A slot passes when a due check is rescheduled, also by a check that a user asked for.
  if v_old.scan_schedule is not null and v_old.next_check_at <= now() and p_next_check_at is distinct from v_old.next_check_at
    and v_old.integration_type = any (p_scan_types)
  then
    v_slot := v_old.next_check_at;
  end if;

  if p_status is null then
    delete from private.check_claims c where c.integration_id = p_id;
    update public.integrations i set next_check_at = p_next_check_at
      where i.id = p_id and i.next_check_at is distinct from p_next_check_at;
    if v_slot is not null then
      perform private.record_not_run(v_old, v_slot, 'not_checked');
    end if;
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
      private.has_succeeded(private.client_of(v_old), 'check', v_since)
      or not exists (
        select from private.forbidden_checks f join public.integrations i on i.id = f.integration_id
        where private.client_of(i) = private.client_of(v_old) and i.id <> p_id
      )
    ) then
      p_status := 'reconnect_required';
    end if;
  elsif p_status = 'active' then
    delete from private.forbidden_checks f where f.integration_id = p_id;
    perform private.note_success(private.client_of(v_old), 'check');
  end if;

  -- An outage says nothing about an ended grant. And a token that is still valid does not repair a grant that cannot be refreshed.
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
    private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
    v_row.external_account_id, 'checked', p_status, p_reason, p_request_id, private.named_key(p_service_key)
  );
  if v_slot is not null then
    perform private.settle_slot(v_row, v_slot);
  end if;
  return jsonb_build_object('end', 'checked') || private.health_of(v_row);
end
$$;

comment on function private.settle_check(uuid, text, text, text, integer, text, timestamp with time zone, uuid, text, text[], uuid) is
  'Settles one check. The verdict is about the config of p_version: if another config is stored by now (a reconnection, a refresh) '
  'it is ignored. forbidden proves nothing: it may be a gatekeeper''s page, or a provider''s word for an ended grant. After '
  'p_forbidden_days (7 if null) without a success it becomes reconnect_required, unless all rows of the client are forbidden: '
  'then the cause is not this grant.';

-- Since when the checks of an integration have been forbidden, without a success in between.
create table private.forbidden_checks (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  since timestamptz not null default now()
);

alter table private.forbidden_checks enable row level security;

revoke all on table private.forbidden_checks from public, anon, authenticated, service_role;

revoke all on function 
  private.schedule_next_check(),
  private.take_check(integrations, integer, uuid, text, uuid),
  private.health_of(integrations),
  private.due_checks(integer, text[]),
  private.settle_check(uuid, text, text, text, integer, text, timestamp with time zone, uuid, text, text[], uuid),
  public.claim_check(uuid, uuid, integer, text, uuid),
  public.claim_due_checks(integer, text[], integer, text),
  public.settle_checks(jsonb, uuid, text, text[], uuid)
from public, anon, authenticated, service_role;
grant execute on function 
  public.claim_check(uuid, uuid, integer, text, uuid),
  public.claim_due_checks(integer, text[], integer, text),
  public.settle_checks(jsonb, uuid, text, text[], uuid)
to service_role;
