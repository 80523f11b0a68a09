-- What tells a grant that is over from a provider, or a client of ours, that refuses everybody.

-- Since when checks of an integration are answered that they are forbidden, without a good answer in between.
create table private.forbidden_checks (
  integration_id uuid primary key references public.integrations (id) on delete cascade,
  since timestamptz not null default now()
);

-- When a refresh, and a check, of a type last succeeded, to within ten minutes.
create table private.provider_successes (
  integration_type text not null,
  act text not null check (act in ('refresh', 'check')),
  at timestamptz not null default now(),
  primary key (integration_type, act)
);

alter table private.forbidden_checks enable row level security;
alter table private.provider_successes enable row level security;
revoke all on table private.forbidden_checks from public, anon, authenticated, service_role;
revoke all on table private.provider_successes from public, anon, authenticated, service_role;

-- Notes a success. It waits for nobody: whoever holds the row is noting the same.
create function private.note_success(p_integration_type text, p_act text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from private.provider_successes s
    where s.integration_type = p_integration_type and s.act = p_act and s.at > now() - interval '10 minutes';
  if found then
    return;
  end if;
  update private.provider_successes s set at = now()
    where (s.integration_type, s.act) in (
      select o.integration_type, o.act from private.provider_successes o
      where o.integration_type = p_integration_type and o.act = p_act
      for update skip locked
    );
  if not found then
    insert into private.provider_successes (integration_type, act) values (p_integration_type, p_act) on conflict do nothing;
  end if;
end
$$;

create function private.has_succeeded(p_integration_type text, p_act text, p_since timestamptz) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select from private.provider_successes s where s.integration_type = p_integration_type and s.act = p_act and s.at > p_since
  );
$$;

revoke all on function private.note_success(text, text) from public, anon, authenticated, service_role;
revoke all on function private.has_succeeded(text, text, timestamptz) from public, anon, authenticated, service_role;
