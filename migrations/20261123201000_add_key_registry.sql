-- The registry of key ids and the fence of a rotation. Nothing changes for any writer until a rotation declares the fence: the
-- trigger is disabled until then, and costs nothing.
--
-- What the fence proves. Declaring takes SHARE ROW EXCLUSIVE on integrations in the transaction that enables the trigger. Every
-- writer holds ROW EXCLUSIVE until it ends, and the two conflict. So each writing transaction is on one of two sides:
--   before: it ended before the lock was granted, and every snapshot taken after the declaration sees what it wrote;
--   after:  its first write waited for the declaration's commit, finds the trigger enabled, and is checked.
-- Hence one scan that begins after the declaration and finds no row on another key has seen everything that the first side left,
-- and the second side can add nothing, also behind the scan's cursor: from then until the fence is lifted no row is on another key.

create table public.key_registry (
  kid text primary key check (kid ~ '^[0-9a-f]{16}$'),
  -- allowed: may write while the fence is up. retired: proved to open nothing, never allowed again. known: neither.
  state text not null check (state in ('known', 'allowed', 'retired')),
  changed_at timestamptz not null default now()
);

alter table public.key_registry enable row level security;
revoke all on table public.key_registry from public, anon, authenticated, service_role;

-- One row, always there, so that there is something to lock and a change of it is a conflict that every isolation level notices.
create table private.fence (
  single boolean primary key default true check (single),
  id uuid,
  declared_at timestamptz,
  check ((id is null) = (declared_at is null))
);

insert into private.fence default values;

alter table private.fence enable row level security;
revoke all on table private.fence from public, anon, authenticated, service_role;

-- Whether a config without a key id holds anything that a key could have sealed: a field with a sensitive name (the same names as
-- in docs/format.md) that is not null, at any depth.
create function private.holds_secrets(p_config jsonb) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (
    select
    from jsonb_path_query(p_config, 'strict $.** ? (@.type() == "object")') o
    cross join lateral jsonb_each(o) field
    where jsonb_typeof(field.value) <> 'null'
      and (
        field.key ~* '(^|[^a-z0-9])(token|key|secret|password)$'
        or field.key ~ '[^A-Z](T[Oo][Kk][Ee][Nn]|K[Ee][Yy]|S[Ee][Cc][Rr][Ee][Tt]|P[Aa][Ss][Ss][Ww][Oo][Rr][Dd])$'
        or field.key ~ '(To[Kk][Ee][Nn]|Ke[Yy]|Se[Cc][Rr][Ee][Tt]|Pa[Ss][Ss][Ww][Oo][Rr][Dd])$'
      )
  );
$$;

revoke all on function private.holds_secrets(jsonb) from public, anon, authenticated, service_role;

-- The rows that it reads stay locked FOR SHARE until the writer ends, so the list cannot change under it, by whatever means.
create function private.refuse_fenced_key() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_kid text := new.config->'_enc'->>'kid';
begin
  perform from public.key_registry k where k.kid = v_kid and k.state = 'allowed' for share;
  if found then
    return new;
  end if;

  if new.config->'_enc' is null and not private.holds_secrets(new.config) then
    return new;
  end if;

  -- Enabled without a declaration (by ALTER TABLE ... ENABLE TRIGGER ALL after a restore, say) the trigger refuses nothing.
  perform from private.fence f where f.id is null for share;
  if found then
    return new;
  end if;

  raise exception 'integrations.config is not sealed with a key that may write now' using
    errcode = 'IK001',
    detail = 'key id: ' || case when v_kid ~ '^[0-9a-f]{16}$' then v_kid else 'none' end,
    hint = 'a key rotation has fenced this key out: seal with the current ENCRYPTION_KEY and write again';
end
$$;

revoke all on function private.refuse_fenced_key() from public, anon, authenticated, service_role;

-- Of id too: a row that moves behind a scan's cursor has to be one that the scan would have passed.
create trigger refuse_fenced_key
  before insert or update of id, config on public.integrations
  for each row
  execute function private.refuse_fenced_key();

alter table public.integrations disable trigger refuse_fenced_key;

create function private.fence_is_up() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from private.fence f where f.id is not null)
    and exists (
      select from pg_catalog.pg_trigger t
      where t.tgrelid = 'public.integrations'::regclass and t.tgname = 'refuse_fenced_key' and t.tgenabled in ('O', 'A')
    );
$$;

revoke all on function private.fence_is_up() from public, anon, authenticated, service_role;
