-- A grant is written down, sealed, at the moment it is received. From then on the database decides whether it is stored in
-- integrations or revoked, so no worker has to guess what became of a write whose answer it never got.

-- Every grant, from its receipt until it is stored or given up.
create table public.pending_connections (
  id uuid primary key,
  user_id uuid not null,
  organization_id uuid not null,
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  config jsonb not null check (jsonb_typeof(config) = 'object' and octet_length(config::text) <= 262144),
  -- The accounts to choose from. Null: nobody is asked to choose.
  accounts jsonb check (
    jsonb_typeof(accounts) = 'array'
    and jsonb_array_length(accounts) between 1 and 1000
    and octet_length(accounts::text) <= 262144
  ),
  return_to text check (char_length(return_to) <= 2048),
  created_at timestamptz not null default now(),
  -- Later the schedule revokes the grant. Longer than a callback can take.
  expires_at timestamptz not null default now() + interval '5 minutes'
);

create index pending_connections_expires_at on public.pending_connections (expires_at);
create index pending_connections_organization_id on public.pending_connections (organization_id);
create index pending_connections_user_id on public.pending_connections (user_id);

alter table public.pending_connections enable row level security;
revoke all on table public.pending_connections from public, anon, authenticated, service_role;

-- Grants to be revoked at the provider. The schedule repeats a revocation that fails, for a day.
create table private.pending_revocations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  -- The row that the config is sealed for.
  sealed_for uuid not null,
  integration_type text not null,
  external_account_id text,
  -- Who received the grant or ended it. Null: the worker by itself.
  user_id uuid,
  config jsonb not null,
  -- abandoned: it could not be stored. expired: the user never chose an account. discarded: the user gave it up. disconnected: its
  -- integration was deleted. replaced: another grant took its place. late: a refresh returned after its integration was deleted.
  reason text not null check (reason in ('abandoned', 'expired', 'discarded', 'disconnected', 'replaced', 'late')),
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  owner uuid,
  leased_until timestamptz,
  give_up_at timestamptz not null default now() + interval '1 day',
  created_at timestamptz not null default now(),
  check ((owner is null) = (leased_until is null))
);

create index pending_revocations_due on private.pending_revocations (next_attempt_at);
create index pending_revocations_organization on private.pending_revocations (organization_id, next_attempt_at);

alter table private.pending_revocations enable row level security;
revoke all on table private.pending_revocations from public, anon, authenticated, service_role;
