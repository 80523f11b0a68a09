-- The audit trail: every use and every change of credentials, by whom and why.

create table public.credential_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now(),
  user_id uuid,
  organization_id uuid not null,
  integration_id uuid,
  integration_type text,
  external_account_id text,
  action text not null constraint credential_events_action check (action in (
    'connected', 'reconnected', 'disconnected', 'opened', 'refreshed', 'refresh_failed', 'checked', 'renamed', 'rescheduled', 'rotated',
    'revoked'
  )),
  outcome text not null constraint credential_events_outcome check (outcome in (
    'succeeded', 'failed', 'unsupported', 'kept', 'active', 'degraded', 'reconnect_required', 'revoked'
  )),
  request_id text check (char_length(request_id) <= 200),
  actor text not null default 'user' constraint credential_events_actor check (actor in ('user', 'service', 'service_key', 'keytool', 'scanner')),
  reason text constraint credential_events_reason check (char_length(reason) between 1 and 64),
  details jsonb constraint credential_events_details check (octet_length(details::text) <= 4096),
  constraint credential_events_user check (actor <> 'user' or user_id is not null),
  constraint credential_events_integration check ((integration_id is null) = (integration_type is null) and (integration_id is not null or actor = 'keytool'))
);

comment on table public.credential_events is
  'Append-only, until clean_up deletes what is older than the retention. Without foreign keys: an event outlives its integration.';

create index credential_events_organization
  on public.credential_events (organization_id, occurred_at);

alter table public.credential_events enable row level security;

revoke all on table public.credential_events from public, anon, authenticated, service_role;

revoke all on sequence public.credential_events_id_seq from public, anon, authenticated, service_role;

grant select on table public.credential_events to service_role;

create function private.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' and current_setting('integrations.deletes_old_events', true) = 'on' then
    return null;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end
$$;

comment on function private.refuse_change() is
  'Rejects changes to an append-only table, also by its owner.';

create function private.refuse_young_deletions() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from deleted d where d.occurred_at > now() - interval '30 days') then
    raise exception '% keeps everything for 30 days at least', tg_table_name using errcode = 'insufficient_privilege';
  end if;
  return null;
end
$$;

comment on function private.refuse_young_deletions() is
  'Rejects the deletion of an event younger than 30 days, whatever the retention says.';

create trigger append_only
  before update or delete or truncate on public.credential_events
  for each statement
  execute function private.refuse_change();

create trigger keep_young
  after delete on public.credential_events
  referencing old table as deleted
  for each statement
  execute function private.refuse_young_deletions();

comment on column public.credential_events.actor is
  'user: a signed-in user (user_id); service: the worker itself; service_key: a program with a service key (details); '
  'keytool: an operator; scanner: the scanner itself.';

comment on column public.credential_events.reason is
  'A short code: what the credential was opened for, why a refresh or a check failed. Never a value.';

comment on column public.credential_events.details is
  'For keytool: the number of rows, the key ids from and to, and the database role. For a '
  'service key: its id (service_key) and its name; of a connection through a connect session also that (connect_session) and the '
  'end user (external_user_id).';

comment on column public.credential_events.outcome is
  'succeeded or failed; for a revocation also unsupported (the provider has no endpoint for it) or kept (another integration uses the '
  'grant); for a check the new status.';

comment on column public.credential_events.integration_id is
  'The integration, or the pending connection of a grant without an account. Null: all integrations of the organization.';

-- An integration's events are read newest first.
create index credential_events_integration on public.credential_events (integration_id, id);

create function private.write_event(
  p_actor text, p_user_id uuid, p_organization_id uuid, p_integration_id uuid, p_integration_type text,
  p_external_account_id text, p_action text, p_outcome text default 'succeeded', p_reason text default null,
  p_request_id text default null, p_details jsonb default null
) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into public.credential_events (
    actor, user_id, organization_id, integration_id, integration_type, external_account_id, action, outcome, reason, request_id,
    details
  ) values (
    p_actor, p_user_id, p_organization_id, p_integration_id, p_integration_type, p_external_account_id, p_action, p_outcome,
    p_reason, p_request_id, p_details
  );
$$;

comment on function private.write_event(text, uuid, uuid, uuid, text, text, text, text, text, text, jsonb) is
  'Writes an audit event. Called in the transaction of what it records, so no credential is handed out or changed without its '
  'event.';

create function private.actor(p_user_id uuid, p_service_key uuid) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select case when p_service_key is not null then 'service_key' when p_user_id is not null then 'user' else 'service' end;
$$;

comment on function private.actor(uuid, uuid) is
  'An event''s actor: a service key, a user, or with neither the worker itself.';

grant select (
  id, occurred_at, actor, user_id, organization_id, integration_id, integration_type, action, outcome, reason, request_id, details
) on table public.credential_events to authenticated;

create policy "Members can read their organization's events"
  on public.credential_events
  for select to authenticated
  using (private.can_access_organization(organization_id));

create function private.delete_old_events(p_days integer) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_deleted integer;
begin
  perform set_config('integrations.deletes_old_events', 'on', true);
  -- Ids rise with time, so the oldest come first and the scan ends after 5,000.
  delete from public.credential_events c
    where c.id in (
      select e.id from (select o.id, o.occurred_at from public.credential_events o order by o.id limit 5000) e
      where e.occurred_at < now() - make_interval(days => p_days)
    );
  get diagnostics v_deleted = row_count;
  perform set_config('integrations.deletes_old_events', 'off', true);
  return v_deleted = 5000;
end
$$;

comment on function private.delete_old_events(integer) is
  'Deletes up to 5,000 events older than p_days days. Returns whether there may be more. Nothing else can delete an event.';

revoke all on function 
  private.actor(uuid, uuid),
  private.refuse_change(),
  private.refuse_young_deletions(),
  private.write_event(text, uuid, uuid, uuid, text, text, text, text, text, text, jsonb),
  private.delete_old_events(integer)
from public, anon, authenticated, service_role;
