-- The audit log: everything that happens to a credential, by whomever, and why. One helper writes it.

alter table public.credential_events
  alter column user_id drop not null,
  -- The version that runs while this is applied writes for users only.
  add column actor text not null default 'user' constraint credential_events_actor check (actor in ('user', 'service', 'keytool')),
  add column reason text constraint credential_events_reason check (char_length(reason) between 1 and 64),
  add constraint credential_events_user check (actor <> 'user' or user_id is not null),
  drop constraint credential_events_action_check,
  add constraint credential_events_action check (action in (
    'connected', 'reconnected', 'disconnected', 'opened', 'refreshed', 'refresh_failed', 'checked', 'renamed', 'rescheduled', 'rotated',
    'revoked'
  )),
  drop constraint credential_events_outcome_check,
  add constraint credential_events_outcome check (outcome in (
    'succeeded', 'failed', 'unsupported', 'kept', 'active', 'degraded', 'reconnect_required', 'revoked'
  ));

comment on column public.credential_events.actor is
  'user: somebody who is signed in (user_id); service: the worker by itself; keytool: an operator.';
comment on column public.credential_events.reason is
  'A short code: what the credential was opened for, why a refresh or a check failed, the key id of a rotation. Never a value.';
comment on column public.credential_events.outcome is
  'succeeded or failed; of a revocation also unsupported (the provider has no endpoint for it) or kept (another integration uses the '
  'grant); of a check the status that it found.';
comment on column public.credential_events.integration_id is
  'The integration; of a grant that waits for its account, the pending connection.';

-- What a trail is read by, newest first.
create index credential_events_integration on public.credential_events (integration_id, id);

-- Called in the transaction of what it tells of: no credential is handed out or changed without its event, and the other way round.
create function private.write_event(
  p_actor text, p_user_id uuid, p_organization_id uuid, p_integration_id uuid, p_integration_type text,
  p_external_account_id text, p_action text, p_outcome text default 'succeeded', p_reason text default null,
  p_request_id text default null
) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into public.credential_events (
    actor, user_id, organization_id, integration_id, integration_type, external_account_id, action, outcome, reason, request_id
  ) values (
    p_actor, p_user_id, p_organization_id, p_integration_id, p_integration_type, p_external_account_id, p_action, p_outcome,
    p_reason, p_request_id
  );
$$;

revoke all on function private.write_event(text, uuid, uuid, uuid, text, text, text, text, text, text)
  from public, anon, authenticated, service_role;
