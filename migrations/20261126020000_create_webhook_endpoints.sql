-- Where an organisation wants to be told what happens to its connections.

-- Everything that is told. A new type is a new definition of this function.
create function private.webhook_types() returns text[]
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select array[
    'connection.created', 'connection.reconnected', 'connection.refreshed', 'connection.refresh_failed',
    'connection.degraded', 'connection.reconnect_required', 'connection.deleted'
  ];
$$;

create table public.webhook_endpoints (
  -- Chosen by the worker, because the sealed secrets are bound to it.
  id uuid primary key,
  organization_id uuid not null,
  url text not null check (char_length(url) between 1 and 2048),
  events text[] check (cardinality(events) between 1 and 32 and events <@ private.webhook_types()),
  enabled boolean not null default true,
  disabled_reason text check (disabled_reason = 'gone'),
  config jsonb not null check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 4096),
  previous_secret_ends_at timestamptz,
  failing_since timestamptz,
  slow_until timestamptz not null default 'infinity',
  rests_until timestamptz not null default '-infinity',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (disabled_reason is null or not enabled)
);

comment on column public.webhook_endpoints.events is 'The types that are wanted. Null: all, also those that come later.';
comment on column public.webhook_endpoints.disabled_reason is
  'gone: the receiver answered 410. Null where a user disabled it, or nobody.';
comment on column public.webhook_endpoints.config is
  'The signing secrets, sealed as docs/format.md says for the place (organisation, endpoint): secret, and during a change previous_secret.';
comment on column public.webhook_endpoints.failing_since is
  'When the first of the failures was that no success has followed yet.';
comment on column public.webhook_endpoints.slow_until is
  'Until then it shares the lanes of the slow. infinity: it has not answered in time yet.';
comment on column public.webhook_endpoints.rests_until is
  'Nothing is sent before then: a slow receiver rests as long as its answer took.';

create index webhook_endpoints_organization on public.webhook_endpoints (organization_id);

alter table public.webhook_endpoints enable row level security;
revoke all on function private.webhook_types() from public, anon, authenticated, service_role;
revoke all on table public.webhook_endpoints from public, anon, authenticated, service_role;
grant select (id, organization_id, url, events, enabled, disabled_reason, previous_secret_ends_at, created_at)
  on table public.webhook_endpoints to authenticated;

create policy "Members can read their organisation's endpoints"
  on public.webhook_endpoints
  for select to authenticated
  using (private.can_access_organization(organization_id));
