-- One row for each connection that was begun and not yet finished. Holds hashes and a sealed verifier, no secret in the clear.

create table public.oauth_transactions (
  id uuid primary key,
  state_hash text not null unique check (char_length(state_hash) between 1 and 128),
  binding_hash text not null check (char_length(binding_hash) between 1 and 128),
  user_id uuid not null,
  organization_id uuid not null,
  integration_type text not null check (char_length(integration_type) between 1 and 64),
  issuer text check (char_length(issuer) <= 512),
  redirect_uri text not null check (char_length(redirect_uri) between 1 and 2048),
  verifier jsonb not null check (octet_length(verifier::text) <= 4096),
  return_to text check (char_length(return_to) <= 2048),
  created_at timestamptz not null default now(),
  expires_at timestamptz not null default now() + interval '10 minutes'
);

create index oauth_transactions_user_id on public.oauth_transactions (user_id);
create index oauth_transactions_organization_id on public.oauth_transactions (organization_id);
create index oauth_transactions_expires_at on public.oauth_transactions (expires_at);

alter table public.oauth_transactions enable row level security;
revoke all on table public.oauth_transactions from public, anon, authenticated, service_role;
