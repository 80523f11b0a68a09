-- What was done to credentials, by whom. Rows are added by the functions and never change, whoever asks.

create table public.credential_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now(),
  user_id uuid not null,
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  external_account_id text,
  action text not null check (action in ('connected', 'reconnected', 'disconnected')),
  outcome text not null check (outcome in ('succeeded', 'revoked', 'not_revoked', 'unsupported')),
  request_id text check (char_length(request_id) <= 200)
);

comment on table public.credential_events is
  'Append-only. Without foreign keys: an event outlives the integration it tells of.';
comment on column public.credential_events.outcome is
  'succeeded; of a disconnection what became of the grant at the provider: revoked, not_revoked, or unsupported there.';

create index credential_events_organization
  on public.credential_events (organization_id, occurred_at);

alter table public.credential_events enable row level security;
revoke all on table public.credential_events from public, anon, authenticated, service_role;
revoke all on sequence public.credential_events_id_seq from public, anon, authenticated, service_role;
grant select on table public.credential_events to service_role;

-- Privileges stop everyone but the owner. This stops the owner's slip as well.
create function private.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end
$$;

revoke all on function private.refuse_change() from public, anon, authenticated, service_role;

create trigger append_only
  before update or delete or truncate on public.credential_events
  for each statement
  execute function private.refuse_change();
