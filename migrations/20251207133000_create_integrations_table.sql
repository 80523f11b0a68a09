-- The table as it was first made. A project may hold it already, with rows: then nothing here changes it.

create table if not exists public.integrations (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  integration_type text not null,
  name text not null,
  config jsonb not null default '{}',
  status text not null default 'active',
  scan_schedule text,
  last_checked_at timestamptz,
  next_check_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index if not exists idx_integrations_org_id on public.integrations (organization_id);
create index if not exists idx_integrations_type on public.integrations (integration_type);
create index if not exists idx_integrations_status on public.integrations (status);
create index if not exists idx_integrations_next_check on public.integrations (next_check_at);

alter table public.integrations enable row level security;

-- Only where the table has no policy at all: a database that has gone further than this file must not get the old policy back.
do $$
begin
  if not exists (select from pg_catalog.pg_policy where polrelid = 'public.integrations'::regclass) then
    create policy "Users can manage their own integrations"
      on public.integrations
      for all
      using (organization_id::text = auth.uid()::text);
  end if;
end
$$;
