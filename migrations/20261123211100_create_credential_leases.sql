-- Who is refreshing a credential. A refresh token may be good for one redemption only, so whoever redeems holds the row's lease; the
-- redemption's answer is written by compare-and-swap on the lease.
--
-- Lock order, everywhere: the integration's row first, then its lease.

-- Over all integrations, so that no claim ever has the number of another, also where a lease was dropped in between.
create sequence private.lease_generations;

create table public.credential_leases (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  -- Null: nobody. A lease that has expired is nobody's either, but its owner may still settle until another takes it.
  owner uuid,
  expires_at timestamptz,
  -- Another with each claim.
  generation bigint not null default nextval('private.lease_generations'),
  -- Set before the redemption is made, null once its end is known: a claim that finds it set knows that a redemption may have happened
  -- whose answer nobody wrote.
  attempted_at timestamptz,
  -- How many redemptions since the last refresh had an end that nobody knows.
  unsettled integer not null default 0,
  -- How often the provider has refused alike since the token's end: by status and error code, and since when.
  refused_as text,
  refused_since timestamptz,
  refusals integer not null default 0,
  failures integer not null default 0,
  failed_at timestamptz,
  retry_at timestamptz,
  settled_at timestamptz,
  -- Who ended this generation and how, so that a write whose answer was lost can be repeated.
  ended_by uuid,
  ended_as text,
  -- A refreshed config, sealed for the integration, that could not be written there: the next claim writes it instead of redeeming.
  journal jsonb check (jsonb_typeof(journal) = 'object' and octet_length(journal::text) <= 262144),
  check ((owner is null) = (expires_at is null))
);

create index credential_leases_journal on public.credential_leases (integration_id) where journal is not null;

alter table public.credential_leases enable row level security;
revoke all on table public.credential_leases from public, anon, authenticated, service_role;
revoke all on sequence private.lease_generations from public, anon, authenticated, service_role;

-- Whoever else writes a config (a reconnection, or the source's own writers) ends what was going on: the redemption under way was of a
-- token that no longer stands there, and so was what a check has found.
create function private.drop_lease() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from public.credential_leases l where l.integration_id = old.id;
  delete from private.forbidden_checks f where f.integration_id = old.id;
  return null;
end
$$;

revoke all on function private.drop_lease() from public, anon, authenticated, service_role;

-- Neither a rotation, which changes the sealing only, nor the settling of a refresh.
create trigger drop_lease
  after update of config on public.integrations
  for each row
  when (
    current_setting('integrations.rewrap', true) is distinct from 'on'
    and current_setting('integrations.settle', true) is distinct from 'on'
    and old.config is distinct from new.config
  )
  execute function private.drop_lease();
