-- A grant over several accounts waits here for the user's choice.

create table public.parked_connections (
  id uuid primary key,
  user_id uuid not null,
  organization_id uuid not null,
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  config jsonb not null check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 262144),
  accounts jsonb not null check (
    jsonb_typeof(accounts) = 'array'
    and jsonb_array_length(accounts) between 1 and 1000
    and octet_length(accounts::text) <= 262144
  ),
  return_to text check (char_length(return_to) <= 2048),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '10 minutes'
);

create index parked_connections_expires_at on public.parked_connections (expires_at);

alter table public.parked_connections enable row level security;
revoke all on table public.parked_connections from public, anon, authenticated, service_role;
