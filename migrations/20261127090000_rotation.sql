-- The registry of key ids, the data keys of organizations, and the fence of a rotation.
--
-- What the fence proves. Declaring takes SHARE ROW EXCLUSIVE on integrations in the transaction that enables the trigger. Every
-- writer holds ROW EXCLUSIVE until it ends, and the two conflict. So each writing transaction is on one of two sides:
--   before: it ended before the lock was granted, and every snapshot taken after the declaration sees what it wrote;
--   after:  its first write waited for the declaration's commit, finds the trigger enabled, and is checked.
-- Hence one scan that begins after the declaration and finds no row on another key has seen everything that the first side left,
-- and the second side can add nothing, also behind the scan's cursor: from then until the fence is lifted no row is on another key.

create table public.key_registry (
  kid text primary key check (kid ~ '^[0-9a-f]{16}$'),
  -- allowed: may write while the fence is up. retired: proved to open nothing, not to be allowed again. known: neither.
  state text not null check (state in ('known', 'allowed', 'retired')),
  changed_at timestamptz not null default now()
);

alter table public.key_registry enable row level security;

revoke all on table public.key_registry from public, anon, authenticated, service_role;

-- It always has one row, so that there is something to lock, and so that every isolation level detects a concurrent change.
create table private.fence (
  single boolean primary key default true check (single),
  id uuid,
  declared_at timestamptz,
  check ((id is null) = (declared_at is null))
);

insert into private.fence default values;

alter table private.fence enable row level security;

revoke all on table private.fence from public, anon, authenticated, service_role;

create function private.may_write_with(p_kid text) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from public.key_registry k where k.kid = p_kid and k.state = 'allowed' for share;
  if found then
    return true;
  end if;
  -- If a trigger is enabled without a declaration (by ALTER TABLE ... ENABLE TRIGGER ALL after a restore, for example), it rejects nothing.
  perform from private.fence f where f.id is null for share;
  return found;
end
$$;

comment on function private.may_write_with(text) is
  'Whether the fence lets a key write: always, if it is not declared. The rows that it reads stay locked FOR SHARE until the writer ends, so the '
  'answer cannot change under it.';

create function private.raise_fenced(p_what text, p_kid text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  raise exception '% is not sealed with a key that may write now', p_what using
    errcode = 'IK001',
    detail = 'key id: ' || case when p_kid ~ '^[0-9a-f]{16}$' then p_kid else 'none' end,
    hint = 'a key rotation has fenced this key out: seal with the current ENCRYPTION_KEY and write again';
end
$$;

comment on function private.raise_fenced(text, text) is 'Raises IK001.';

create function private.refuse_fenced_key() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_kid text := new.config->'_enc'->>'kid';
begin
  -- A data key writes as long as it is there: refuse_missing_data_key and refuse_fenced_wrapping see to that.
  if new.config->'_enc'->'v' = '3' or new.config->'_enc' is null and not private.holds_secrets(new.config) then
    return new;
  end if;
  if not private.may_write_with(v_kid) then
    perform private.raise_fenced(tg_table_name || '.config', v_kid);
  end if;
  return new;
end
$$;

comment on function private.refuse_fenced_key() is
  'The fence: rejects a write (IK001) that is not sealed with a key that may write.';

-- Also for a change of id: a row could move behind a scan's cursor, and must be one that the scan would have accepted.
create trigger refuse_fenced_key
  before insert or update of id, config on public.integrations
  for each row
  execute function private.refuse_fenced_key();

alter table public.integrations disable trigger refuse_fenced_key;

-- The data keys of organizations, which seal their configs (docs/format.md). The deployment's key wraps them, so that a rotation of it rewraps one
-- row an organization.
create table private.data_keys (
  -- The nil UUID: what belongs to the deployment itself.
  organization_id uuid not null,
  kid text not null check (kid ~ '^[0-9a-f]{16}$'),
  wrapping_kid text not null check (wrapping_kid ~ '^[0-9a-f]{16}$'),
  wrapped text not null check (char_length(wrapped) between 1 and 4096),
  created_at timestamptz not null default now(),
  -- When another key wrapped it last. Null: only wrapping_kid ever has, so nobody learned it from another key.
  rewrapped_at timestamptz,
  -- A replaced key opens what it has sealed, and seals nothing more.
  replaced_at timestamptz,
  primary key (organization_id, kid)
);

create unique index data_keys_current on private.data_keys (organization_id) where replaced_at is null;

alter table private.data_keys enable row level security;

revoke all on table private.data_keys from public, anon, authenticated, service_role;

create function private.refuse_fenced_wrapping() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not private.may_write_with(new.wrapping_kid) then
    perform private.raise_fenced('a data key', new.wrapping_kid);
  end if;
  return new;
end
$$;

comment on function private.refuse_fenced_wrapping() is
  'The fence, for data keys: rejects one (IK001) that is not wrapped by a key that may write.';

-- Always enabled, because data keys are rarely written. It locks the fence's row, so a declaration waits for writers that have started.
create trigger refuse_fenced_wrapping
  before insert or update of wrapping_kid on private.data_keys
  for each row
  execute function private.refuse_fenced_wrapping();

create function private.refuse_missing_data_key() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_organization_id constant uuid := private.sealing_organization(new.organization_id);
  v_kid constant text := new.config->'_enc'->>'kid';
begin
  perform from private.data_keys d where d.organization_id = v_organization_id and d.kid = v_kid for key share;
  if not found then
    if tg_op = 'UPDATE' then
      -- A writer of plaintext leaves the secrets as they are.
      if old.organization_id is not distinct from new.organization_id and not private.brings_credentials(old.config, new.config) then
        return new;
      end if;
    end if;
    raise exception '%.config is sealed with a data key that its organization does not have', tg_table_name using
      errcode = 'IK004',
      detail = 'key id: ' || case when v_kid ~ '^[0-9a-f]{16}$' then v_kid else 'none' end,
      hint = 'the key has been deleted: read the data keys of the organization, seal with the current one and write again';
  end if;
  return new;
end
$$;

comment on function private.refuse_missing_data_key() is
  'Rejects a write (IK004) whose secrets nobody could open, because their data key was deleted. The key stays locked FOR KEY SHARE until the writer ends.';

create trigger refuse_missing_data_key
  before insert on public.integrations
  for each row
  when (new.config->'_enc'->'v' = '3')
  execute function private.refuse_missing_data_key();

create trigger refuse_changed_data_key
  before update of config, organization_id on public.integrations
  for each row
  when (
    new.config->'_enc'->'v' = '3'
    and (old.config is distinct from new.config or old.organization_id is distinct from new.organization_id)
  )
  execute function private.refuse_missing_data_key();

create trigger refuse_missing_data_key
  before insert on public.pending_connections
  for each row
  when (new.config->'_enc'->'v' = '3')
  execute function private.refuse_missing_data_key();

create trigger refuse_missing_data_key
  before insert on public.webhook_endpoints
  for each row
  when (new.config->'_enc'->'v' = '3')
  execute function private.refuse_missing_data_key();

create trigger refuse_changed_data_key
  before update of config on public.webhook_endpoints
  for each row
  when (new.config->'_enc'->'v' = '3' and old.config is distinct from new.config)
  execute function private.refuse_missing_data_key();

create trigger refuse_missing_data_key
  before insert on private.oauth_apps
  for each row
  when (new.config->'_enc'->'v' = '3')
  execute function private.refuse_missing_data_key();

create trigger refuse_changed_data_key
  before update of config on private.oauth_apps
  for each row
  when (new.config->'_enc'->'v' = '3' and old.config is distinct from new.config)
  execute function private.refuse_missing_data_key();

-- The integrations that are not sealed with their organization's current data key, so that a rotation need not look at every row. An index on
-- config would cost each update of it, a reseal a third of its speed.
create table private.pending_reseals (
  -- Without a foreign key, whose lock would meet that of a data key in the other order. What was deleted since goes with record_rotation.
  integration_id uuid primary key
);

alter table private.pending_reseals enable row level security;

revoke all on table private.pending_reseals from public, anon, authenticated, service_role;

insert into private.pending_reseals (integration_id) select i.id from public.integrations i;

create function private.note_pending_reseal() returns trigger
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if new.config->'_enc'->'v' = '3' and exists (
    select from private.data_keys d
    where d.organization_id = new.organization_id and d.kid = new.config->'_enc'->>'kid' and d.replaced_at is null
  ) then
    delete from private.pending_reseals p where p.integration_id = new.id;
  else
    insert into private.pending_reseals (integration_id) values (new.id) on conflict do nothing;
  end if;
  return null;
end
$$;

comment on function private.note_pending_reseal() is
  'Keeps in pending_reseals which integrations are not sealed with their organization''s current data key.';

create trigger note_pending_reseal
  after insert on public.integrations
  for each row
  execute function private.note_pending_reseal();

-- rewrap_write does the same for its batch at once.
create trigger note_changed_pending_reseal
  after update of id, config on public.integrations
  for each row
  when (
    (old.config->'_enc' is distinct from new.config->'_enc' or old.id <> new.id)
    and current_setting('integrations.rewrap', true) is distinct from 'on'
  )
  execute function private.note_pending_reseal();

create function public.data_keys(p_organization_ids uuid[]) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_organization_ids is null or cardinality(p_organization_ids) > 1000 then
    raise exception 'p_organization_ids is no list of at most 1000 ids' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object(
    'outcome', 'found',
    'data_keys', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object('organization_id', d.organization_id, 'kid', d.kid, 'wrapping_kid', d.wrapping_kid, 'wrapped', d.wrapped)
          order by d.organization_id, d.replaced_at desc nulls first
        )
        from private.data_keys d where d.organization_id = any (p_organization_ids)
      ),
      '[]'
    )
  );
end
$$;

comment on function public.data_keys(uuid[]) is
  'The wrapped data keys of at most 1000 organizations, the current one of each first.';

create function public.add_data_keys(p_data_keys jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
begin
  if jsonb_typeof(p_data_keys) is distinct from 'array' or jsonb_array_length(p_data_keys) not between 1 and 1000 then
    raise exception 'p_data_keys is no list of 1 to 1000' using errcode = 'invalid_parameter_value';
  end if;
  insert into private.data_keys (organization_id, kid, wrapping_kid, wrapped)
    select k.organization_id, k.kid, k.wrapping_kid, k.wrapped
    from jsonb_to_recordset(p_data_keys) as k (organization_id uuid, kid text, wrapping_kid text, wrapped text)
    order by k.organization_id
    on conflict do nothing;
  return public.data_keys((select array_agg((k->>'organization_id')::uuid) from jsonb_array_elements(p_data_keys) k));
end
$$;

comment on function public.add_data_keys(jsonb) is
  'Adds a data key, [{organization_id, kid, wrapping_kid, wrapped}], to each organization that has no current one. Returns the data keys that these '
  'organizations have then, as data_keys does: where two add at once, both get the first one''s.';

create function public.next_data_keys(p_after_organization_id uuid, p_after_kid text, p_wrapping_kid text, p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit is not between 1 and 1000' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object(
    'outcome', 'found',
    'data_keys', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'organization_id', n.organization_id, 'kid', n.kid, 'wrapping_kid', n.wrapping_kid, 'wrapped', n.wrapped,
            'rewrapped', n.rewrapped_at is not null, 'replaced', n.replaced_at is not null
          )
          order by n.organization_id, n.kid
        )
        from (
          select d.* from private.data_keys d
          where (p_after_organization_id is null or (d.organization_id, d.kid) > (p_after_organization_id, p_after_kid))
            and d.wrapping_kid is distinct from p_wrapping_kid
          order by d.organization_id, d.kid
          limit p_limit
        ) n
      ),
      '[]'
    )
  );
end
$$;

comment on function public.next_data_keys(uuid, text, text, integer) is
  'The next data keys by organization and key id that p_wrapping_kid does not wrap (null: all), at most 1000. None: the end.';

create function public.rewrap_data_keys(p_rewrapped jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_count bigint;
begin
  if jsonb_typeof(p_rewrapped) is distinct from 'array' or jsonb_array_length(p_rewrapped) > 1000 then
    raise exception 'p_rewrapped is no list of at most 1000' using errcode = 'invalid_parameter_value';
  end if;
  with locked as (
    select d.organization_id, d.kid, d.wrapping_kid as former, r.wrapping_kid, r.wrapped
    from private.data_keys d
    join jsonb_to_recordset(p_rewrapped) as r (organization_id uuid, kid text, read text, wrapping_kid text, wrapped text)
      on r.organization_id = d.organization_id and r.kid = d.kid and r.read = d.wrapped
    order by d.organization_id, d.kid
    for no key update of d
  ), written as (
    update private.data_keys d set wrapping_kid = l.wrapping_kid, wrapped = l.wrapped, rewrapped_at = now()
    from locked l where d.organization_id = l.organization_id and d.kid = l.kid
    returning d.organization_id, d.kid, l.former, d.wrapping_kid
  ), known as (
    insert into public.key_registry (kid, state)
      select distinct w.former, 'known' from written w order by 1
      on conflict (kid) do nothing
  ), traced as (
    insert into public.credential_events (actor, organization_id, action, outcome, details)
      select 'keytool', w.organization_id, 'rotated', 'succeeded',
        jsonb_build_object('data_key', w.kid, 'from', jsonb_build_array(w.former), 'to', w.wrapping_kid, 'role', session_user)
      from written w
  )
  select count(*) into v_count from written;
  return jsonb_build_object('outcome', 'rewrapped', 'count', v_count);
end
$$;

comment on function public.rewrap_data_keys(jsonb) is
  'Writes up to 1000 rewrapped data keys, [{organization_id, kid, read, wrapping_kid, wrapped}], each only if it is still wrapped as it was read, and '
  'the event rotated of each. Records the keys that wrapped them.';

create function public.replace_data_keys(p_replacements jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_replaced jsonb;
begin
  if jsonb_typeof(p_replacements) is distinct from 'array' or jsonb_array_length(p_replacements) > 1000 then
    raise exception 'p_replacements is no list of at most 1000' using errcode = 'invalid_parameter_value';
  end if;
  -- This waits for whoever is writing with such a key, so the statements below see what was written. Who writes with it later finds it replaced.
  perform from private.data_keys d
    join jsonb_to_recordset(p_replacements) as r (organization_id uuid, replaced text)
      on r.organization_id = d.organization_id and r.replaced = d.kid
    where d.replaced_at is null
    order by d.organization_id
    for update of d;
  with replaced as (
    update private.data_keys d set replaced_at = now()
    from jsonb_to_recordset(p_replacements) as r (organization_id uuid, replaced text, kid text, wrapping_kid text, wrapped text)
    where r.organization_id = d.organization_id and r.replaced = d.kid and d.replaced_at is null
    returning r.*
  )
  select coalesce(jsonb_agg(to_jsonb(r)), '[]') into v_replaced from replaced r;
  insert into private.data_keys (organization_id, kid, wrapping_kid, wrapped)
    select r.organization_id, r.kid, r.wrapping_kid, r.wrapped
    from jsonb_to_recordset(v_replaced) as r (organization_id uuid, kid text, wrapping_kid text, wrapped text)
    order by r.organization_id;
  insert into private.pending_reseals (integration_id)
    select i.id
    from jsonb_to_recordset(v_replaced) as r (organization_id uuid, replaced text)
    join public.integrations i on i.organization_id = r.organization_id and i.config->'_enc'->>'kid' = r.replaced
    order by i.id
    on conflict do nothing;
  insert into public.credential_events (actor, organization_id, action, outcome, details)
    select 'keytool', r.organization_id, 'rotated', 'succeeded',
      jsonb_build_object('data_key', r.kid, 'replaced', r.replaced, 'to', r.wrapping_kid, 'role', session_user)
    from jsonb_to_recordset(v_replaced) as r (organization_id uuid, replaced text, kid text, wrapping_kid text);
  return jsonb_build_object('outcome', 'replaced', 'count', jsonb_array_length(v_replaced));
end
$$;

comment on function public.replace_data_keys(jsonb) is
  'Gives up to 1000 organizations a new data key, [{organization_id, replaced, kid, wrapping_kid, wrapped}], each only if replaced is still its '
  'current one, and the event rotated of each. The replaced key opens what it has sealed; its integrations are then pending reseals.';

create function private.delete_data_keys(p_organization_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_kids jsonb := '[]';
  v_deleted jsonb;
begin
  -- Again, until there is none: a deletion that waited for a replacement has not seen the new key.
  loop
    with deleted as (
      delete from private.data_keys d where d.organization_id = p_organization_id returning d.kid
    )
    select jsonb_agg(d.kid order by d.kid) into v_deleted from deleted d;
    exit when v_deleted is null;
    v_kids := v_kids || v_deleted;
  end loop;
  if v_kids = '[]' then
    return jsonb_build_object('outcome', 'none');
  end if;
  insert into public.credential_events (actor, organization_id, action, outcome, details)
    values ('keytool', p_organization_id, 'data_keys_deleted', 'succeeded', jsonb_build_object('data_keys', v_kids, 'role', session_user));
  return jsonb_build_object('outcome', 'deleted', 'kids', v_kids);
end
$$;

comment on function private.delete_data_keys(uuid) is
  'Deletes the data keys of an organization: what they have sealed opens no more, except from a backup of this table. For the owner of the database '
  'only. Returns deleted or none.';

create function private.fence_is_up() returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select exists (select from private.fence f where f.id is not null)
    and exists (
      select from pg_catalog.pg_trigger t
      where t.tgrelid = 'public.integrations'::regclass and t.tgname = 'refuse_fenced_key' and t.tgenabled in ('O', 'A')
    );
$$;

comment on function private.fence_is_up() is
  'Whether the fence is declared and its trigger enabled.';

create function public.declare_fence(p_kids text[]) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
declare
  v_retired text[];
  v_fence private.fence;
begin
  if p_kids is null or cardinality(p_kids) not between 1 and 16
    or exists (select from unnest(p_kids) kid where kid is null or kid !~ '^[0-9a-f]{16}$')
  then
    raise exception 'p_kids is no list of 1 to 16 key ids' using
      errcode = 'invalid_parameter_value', hint = 'a key id is 16 lower-case hexadecimal digits';
  end if;

  begin
    -- Before any read: two declarations queue here, and enabling the trigger needs the same lock.
    lock table public.integrations in share row exclusive mode;
  exception when lock_not_available then
    return jsonb_build_object('outcome', 'busy');
  end;

  select array_agg(k.kid order by k.kid) into v_retired
    from public.key_registry k where k.state = 'retired' and k.kid = any (p_kids);
  if v_retired is not null then
    return jsonb_build_object('outcome', 'retired', 'kids', v_retired);
  end if;

  begin
    -- Writers of data keys, endpoints and apps hold it.
    select * into v_fence from private.fence f for update;
  exception when lock_not_available then
    return jsonb_build_object('outcome', 'busy');
  end;

  if not private.fence_is_up() or exists (
    select from unnest(p_kids) wanted (kid)
    full join (select k.kid from public.key_registry k where k.state = 'allowed') standing using (kid)
    where wanted.kid is null or standing.kid is null
  ) then
    update public.key_registry k set state = 'known', changed_at = now()
      where k.state = 'allowed' and k.kid <> all (p_kids);
    insert into public.key_registry (kid, state)
      select distinct kid, 'allowed' from unnest(p_kids) kid
      on conflict (kid) do update set state = 'allowed', changed_at = now() where key_registry.state <> 'allowed';
    update private.fence f set id = gen_random_uuid(), declared_at = clock_timestamp() where f.single returning * into v_fence;
    alter table public.integrations enable trigger refuse_fenced_key;
  end if;

  return jsonb_build_object('outcome', 'fenced', 'fence', v_fence.id, 'declared_at', v_fence.declared_at);
end
$$;

comment on function public.declare_fence(text[]) is
  'Declares the fence for a list of 1 to 16 key ids. Waits at most 2 s for running writers, then returns busy. The same list '
  'keeps the fence and its id; another list makes a new one. Returns fenced, busy or retired.';

create function public.lift_fence() returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '2s' as $$
begin
  begin
    lock table public.integrations in share row exclusive mode;
  exception when lock_not_available then
    return jsonb_build_object('outcome', 'busy');
  end;

  update private.fence f set id = null, declared_at = null where f.single and f.id is not null;
  if not found then
    return jsonb_build_object('outcome', 'not_fenced');
  end if;
  update public.key_registry k set state = 'known', changed_at = now() where k.state = 'allowed';
  alter table public.integrations disable trigger refuse_fenced_key;
  return jsonb_build_object('outcome', 'lifted');
end
$$;

comment on function public.lift_fence() is
  'Lifts the fence. Returns lifted, not_fenced or busy.';

create function private.sealed_elsewhere_rows()
returns table (name text, id uuid, organization_id uuid, sealed_for uuid, config jsonb)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select 'credential_leases', l.integration_id, i.organization_id, l.integration_id, l.journal
  from public.credential_leases l join public.integrations i on i.id = l.integration_id
  where l.journal is not null
  union all
  -- An expired one opens for nobody. An expired connection does: its grant is revoked.
  select 'oauth_transactions', t.id, t.organization_id, t.id, t.verifier from public.oauth_transactions t where t.expires_at > now()
  union all
  select 'pending_connections', p.id, p.organization_id, p.id, p.config from public.pending_connections p
  union all
  select 'pending_revocations', r.id, r.organization_id, r.sealed_for, r.config from private.pending_revocations r
  union all
  select 'webhook_endpoints', e.id, private.sealing_organization(e.organization_id), e.id, e.config from public.webhook_endpoints e
  where e.deleted_at is null
  union all
  select 'oauth_apps', a.id, a.organization_id, a.id, a.config from private.oauth_apps a;
$$;

comment on function private.sealed_elsewhere_rows() is
  'The rows outside integrations that hold something sealed: refreshed credentials that are not written yet, the PKCE verifiers of '
  'authorization requests, pending connections and revocations, webhook secrets, secrets of OAuth apps. sealed_for is the id that their values are bound to.';

create function private.unused_data_keys() returns table (organization_id uuid, kid text)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with elsewhere as materialized (
    select distinct s.organization_id, s.config->'_enc'->>'kid' as kid from private.sealed_elsewhere_rows() s where s.config->'_enc'->'v' = '3'
  )
  select d.organization_id, d.kid
  from private.data_keys d
  -- Longer than any task of the worker keeps a data key in memory.
  where d.replaced_at < now() - interval '15 minutes'
    and not exists (select from elsewhere e where e.organization_id = d.organization_id and e.kid = d.kid)
    and not exists (
      select from public.integrations i where i.organization_id = d.organization_id and i.config->'_enc'->>'kid' = d.kid
    );
$$;

comment on function private.unused_data_keys() is
  'The data keys that were replaced 15 minutes ago and that no row is sealed with.';

create function public.delete_replaced_data_keys(p_limit integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_locked jsonb;
  v_count integer := 0;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    raise exception 'p_limit is not between 1 and 1000' using errcode = 'invalid_parameter_value';
  end if;
  if exists (select from private.data_keys d where d.replaced_at < now() - interval '15 minutes') then
    select jsonb_agg(to_jsonb(l)) into v_locked from (
      select d.organization_id, d.kid
      from private.data_keys d join private.unused_data_keys() u on u.organization_id = d.organization_id and u.kid = d.kid
      order by d.organization_id, d.kid limit p_limit
      for update of d skip locked
    ) l;
    -- Nobody writes with a locked key. This statement sees what was written before.
    with deleted as (
      delete from private.data_keys d
      using private.unused_data_keys() u, jsonb_to_recordset(v_locked) as l (organization_id uuid, kid text)
      where u.organization_id = d.organization_id and u.kid = d.kid and l.organization_id = d.organization_id and l.kid = d.kid
      returning d.organization_id, d.kid
    )
    insert into public.credential_events (actor, organization_id, action, outcome, reason, details)
      select 'keytool', d.organization_id, 'data_keys_deleted', 'succeeded', 'replaced', jsonb_build_object('data_keys', jsonb_build_array(d.kid))
      from deleted d;
    get diagnostics v_count = row_count;
  end if;
  return jsonb_build_object(
    'outcome', 'deleted', 'count', v_count, 'left', (select count(*) from private.data_keys d where d.replaced_at is not null)
  );
end
$$;

comment on function public.delete_replaced_data_keys(integer) is
  'Deletes up to p_limit data keys that were replaced 15 minutes ago and that no row is sealed with, and writes the event of each. left: the '
  'replaced keys that there still are.';

create function private.sealed_with_data_keys(p_organization_id uuid) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'outcome', 'found',
    'data_keys', (select count(*) from private.data_keys d where d.organization_id = p_organization_id),
    'tables', coalesce(
      (
        select jsonb_object_agg(t.name, t.rows)
        from (
          select s.name, count(*) as rows
          from (
            select 'integrations' as name, i.config from public.integrations i where i.organization_id = p_organization_id
            union all
            select e.name, e.config from private.sealed_elsewhere_rows() e where e.organization_id = p_organization_id
          ) s
          where s.config->'_enc'->'v' = '3'
          group by 1
        ) t
      ),
      '{}'
    )
  );
$$;

comment on function private.sealed_with_data_keys(uuid) is
  'What delete_data_keys would make unreadable: the number of an organization''s data keys, and of rows that they have sealed, by table.';

create function private.sealed_elsewhere() returns table (name text, kid text, rows bigint)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select s.name, s.config -> '_enc' ->> 'kid', count(*)
  from private.sealed_elsewhere_rows() s
  where s.config ? '_enc' and s.config -> '_enc' -> 'v' is distinct from '3'
  group by 1, 2
  union all
  select 'data_keys', d.wrapping_kid, count(*) from private.data_keys d group by 2;
$$;

comment on function private.sealed_elsewhere() is
  'How many rows outside integrations a key of the deployment opens, by table and key id. What a data key has sealed is not among them: the data key is.';

create function public.read_sealed_elsewhere(p_table text default null, p_id uuid default null) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'outcome', 'read',
    'rows', coalesce(
      jsonb_agg(
        jsonb_build_object(
          'table', p.name, 'id', p.id, 'organization_id', p.organization_id, 'sealed_for', p.sealed_for, 'config', p.config
        ) order by p.name, p.id
      ),
      '[]'
    )
  )
  from (
    select n.*, sum(octet_length(n.config)) over (order by n.name collate "C", n.id rows unbounded preceding) as bytes
    from (
      select s.name, s.id, s.organization_id, s.sealed_for, s.config::text as config
      from private.sealed_elsewhere_rows() s
      where p_table is null or (s.name collate "C", s.id) > (p_table, p_id)
      order by s.name collate "C", s.id
      limit 1000
    ) n
  ) p
  where p.bytes - octet_length(p.config) < 1048576;
$$;

comment on function public.read_sealed_elsewhere(text, uuid) is
  'The next rows outside integrations that hold something sealed, in the order of table and id after p_table and p_id: at most 1000, and about a '
  'megabyte. config is a text, sealed_for the id that its values are bound to. No row: the end.';

create function public.record_keys(p_kids text[]) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_kids is null or cardinality(p_kids) > 64 or exists (select from unnest(p_kids) kid where kid is null or kid !~ '^[0-9a-f]{16}$') then
    raise exception 'p_kids is no list of at most 64 key ids' using
      errcode = 'invalid_parameter_value', hint = 'a key id is 16 lower-case hexadecimal digits';
  end if;
  insert into public.key_registry (kid, state)
    select distinct kid, 'known' from unnest(p_kids) kid order by kid
    on conflict (kid) do nothing;
  return jsonb_build_object('outcome', 'recorded');
end
$$;

comment on function public.record_keys(text[]) is
  'Records that rows are sealed with these keys (at most 64). retire_key retires only keys that have been recorded.';

create function public.retire_key(p_kid text, p_fence uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_needed jsonb;
begin
  perform from private.fence f where f.id = p_fence for share;
  if not found or not private.fence_is_up() then
    return jsonb_build_object('outcome', 'not_fenced');
  end if;

  select jsonb_object_agg(s.name, s.rows) into v_needed from private.sealed_elsewhere() s where s.kid = p_kid;
  if v_needed is not null then
    return jsonb_build_object('outcome', 'needed', 'tables', v_needed);
  end if;

  -- A key that nothing was ever sealed with is a typing error, or the next key, which must not be lost to it.
  perform from public.key_registry k where k.kid = p_kid for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  update public.key_registry k
    set state = 'retired', changed_at = case k.state when 'retired' then k.changed_at else now() end
    where k.kid = p_kid and k.state <> 'allowed';
  return jsonb_build_object('outcome', case when found then 'retired' else 'allowed' end);
end
$$;

comment on function public.retire_key(text, uuid) is
  'Retires a key under the fence under which the caller''s scan found no row on it. Returns retired; not_fenced; allowed; unknown, if '
  'nothing was ever sealed with it; or needed, with the number of rows by table that it still opens (key_registry_state).';

create function public.unretire_key(p_kid text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_state text;
begin
  select k.state into v_state from public.key_registry k where k.kid = p_kid for update;
  if v_state is distinct from 'retired' then
    return jsonb_build_object('outcome', 'not_retired');
  end if;
  update public.key_registry k set state = 'known', changed_at = now() where k.kid = p_kid;
  return jsonb_build_object('outcome', 'unretired');
end
$$;

comment on function public.unretire_key(text) is
  'Takes back that a key was retired: it may be a primary key again. Returns unretired or not_retired.';

create function public.key_registry_state() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'fence', (
      select jsonb_build_object(
        'id', f.id, 'declared_at', f.declared_at, 'age_seconds', extract(epoch from now() - f.declared_at)::bigint
      )
      from private.fence f where private.fence_is_up()
    ),
    'keys', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'kid', k.kid, 'state', k.state, 'changed_at', k.changed_at,
            'age_seconds', extract(epoch from now() - k.changed_at)::bigint
          ) order by k.kid
        )
        from public.key_registry k
      ),
      '[]'
    ),
    'sealed_elsewhere', coalesce(
      (
        select jsonb_agg(jsonb_build_object('table', s.name, 'kid', s.kid, 'rows', s.rows) order by s.name, s.kid)
        from private.sealed_elsewhere() s where s.kid ~ '^[0-9a-f]{16}$'
      ),
      '[]'
    ),
    'replaced_data_keys', (select count(*) from private.data_keys d where d.replaced_at is not null)
  );
$$;

comment on function public.key_registry_state() is
  'The fence, the state of every known key, what is sealed outside integrations (the number of rows by table and key id), and how many replaced '
  'data keys there are.';

-- Always enabled, because endpoints and apps are rarely written. It locks the fence's row, so a declaration waits for writers that have started, and
-- retire_key then counts all secrets.
create trigger refuse_fenced_key
  before insert on public.webhook_endpoints
  for each row
  execute function private.refuse_fenced_key();

-- A change of secrets that keeps the row's key id adds no use of another key.
create trigger refuse_fenced_change
  before update of config on public.webhook_endpoints
  for each row
  when (old.config->'_enc' is distinct from new.config->'_enc')
  execute function private.refuse_fenced_key();

create trigger refuse_fenced_key
  before insert on private.oauth_apps
  for each row
  execute function private.refuse_fenced_key();

create trigger refuse_fenced_change
  before update of config on private.oauth_apps
  for each row
  when (old.config->'_enc' is distinct from new.config->'_enc')
  execute function private.refuse_fenced_key();

create function public.secrets_on(p_kids text[], p_limit integer) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_kids is null or p_limit is null or p_limit not between 1 and 500 then
    raise exception 'p_limit is not between 1 and 500, or p_kids is null' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object(
    'outcome', 'found',
    'secrets', coalesce(
      (
        select jsonb_agg(jsonb_build_object('table', s.name, 'id', s.id, 'organization_id', s.organization_id, 'config', s.config))
        from (
          select 'webhook_endpoints' as name, w.id, private.sealing_organization(w.organization_id) as organization_id, w.config from public.webhook_endpoints w
          where w.config->'_enc'->>'kid' = any (p_kids)
            or w.config->'_enc'->>'kid' in (select d.kid from private.data_keys d where d.replaced_at is not null)
          union all
          select 'oauth_apps', a.id, a.organization_id, a.config from private.oauth_apps a
          where a.config->'_enc'->>'kid' = any (p_kids)
            or a.config->'_enc'->>'kid' in (select d.kid from private.data_keys d where d.replaced_at is not null)
          order by name, id limit p_limit
        ) s
      ),
      '[]'
    )
  );
end
$$;

comment on function public.secrets_on(text[], integer) is
  'Up to p_limit webhook endpoints and OAuth apps whose secrets are sealed with one of these keys, or with a replaced data key.';

create function public.reseal_secrets(p_resealed jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_endpoints bigint;
  v_apps bigint;
begin
  if jsonb_typeof(p_resealed) is distinct from 'array' or jsonb_array_length(p_resealed) > 500 then
    raise exception 'p_resealed is no list of at most 500' using errcode = 'invalid_parameter_value';
  end if;

  insert into public.key_registry (kid, state)
    select distinct s.config->'_enc'->>'kid', 'known'
    from (
      select 'webhook_endpoints' as name, e.id, e.config from public.webhook_endpoints e
      union all
      select 'oauth_apps', a.id, a.config from private.oauth_apps a
    ) s
    join jsonb_to_recordset(p_resealed) as r ("table" text, id uuid, read jsonb) on r."table" = s.name and r.id = s.id and r.read = s.config
    where s.config->'_enc'->>'kid' ~ '^[0-9a-f]{16}$' and s.config->'_enc'->'v' is distinct from '3'
    order by 1
    on conflict (kid) do nothing;

  with locked as (
    select e.id, r.config
    from public.webhook_endpoints e
    join jsonb_to_recordset(p_resealed) as r ("table" text, id uuid, read jsonb, config jsonb)
      on r."table" = 'webhook_endpoints' and r.id = e.id and r.read = e.config
    order by e.id
    for no key update of e
  )
  update public.webhook_endpoints e set config = l.config from locked l where e.id = l.id;
  get diagnostics v_endpoints = row_count;
  with locked as (
    select a.id, r.config
    from private.oauth_apps a
    join jsonb_to_recordset(p_resealed) as r ("table" text, id uuid, read jsonb, config jsonb)
      on r."table" = 'oauth_apps' and r.id = a.id and r.read = a.config
    order by a.id
    for no key update of a
  )
  update private.oauth_apps a set config = l.config from locked l where a.id = l.id;
  get diagnostics v_apps = row_count;
  return jsonb_build_object('outcome', 'resealed', 'count', v_endpoints + v_apps);
end
$$;

comment on function public.reseal_secrets(jsonb) is
  'Writes up to 500 resealed secrets, [{table, id, read, config}], each only if the endpoint or app still has what was read. Records the keys '
  'that they were on.';

revoke all on function 
  private.may_write_with(text),
  private.raise_fenced(text, text),
  private.refuse_fenced_key(),
  private.refuse_fenced_wrapping(),
  private.refuse_missing_data_key(),
  private.note_pending_reseal(),
  public.data_keys(uuid[]),
  public.add_data_keys(jsonb),
  public.next_data_keys(uuid, text, text, integer),
  public.rewrap_data_keys(jsonb),
  public.replace_data_keys(jsonb),
  private.delete_data_keys(uuid),
  private.unused_data_keys(),
  public.delete_replaced_data_keys(integer),
  private.sealed_with_data_keys(uuid),
  private.fence_is_up(),
  private.sealed_elsewhere_rows(),
  private.sealed_elsewhere(),
  public.read_sealed_elsewhere(text, uuid),
  public.declare_fence(text[]),
  public.lift_fence(),
  public.record_keys(text[]),
  public.retire_key(text, uuid),
  public.unretire_key(text),
  public.key_registry_state(),
  public.secrets_on(text[], integer),
  public.reseal_secrets(jsonb)
from public, anon, authenticated, service_role;
grant execute on function 
  public.data_keys(uuid[]),
  public.add_data_keys(jsonb),
  public.next_data_keys(uuid, text, text, integer),
  public.rewrap_data_keys(jsonb),
  public.replace_data_keys(jsonb),
  public.delete_replaced_data_keys(integer),
  public.declare_fence(text[]),
  public.lift_fence(),
  public.record_keys(text[]),
  public.retire_key(text, uuid),
  public.unretire_key(text),
  public.key_registry_state(),
  public.read_sealed_elsewhere(text, uuid),
  public.secrets_on(text[], integer),
  public.reseal_secrets(jsonb)
to service_role;


-- The functions of a rotation, and the scheduled clean-up.

create function public.rewrap_load() returns jsonb
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'lock_waits', (
      select count(distinct l.pid) from pg_catalog.pg_locks l
      where not l.granted and l.waitstart < clock_timestamp() - interval '100 milliseconds'
    ),
    'replication_lag_seconds', (select extract(epoch from max(r.replay_lag)) from pg_catalog.pg_stat_replication r),
    'estimated_rows', (
      select nullif(c.reltuples, -1)::bigint from pg_catalog.pg_class c where c.oid = 'public.integrations'::regclass
    ),
    'estimated_pending', (
      -- Never analysed, it is a small table.
      select case c.reltuples when -1 then (select count(*) from private.pending_reseals) else c.reltuples end::bigint
      from pg_catalog.pg_class c where c.oid = 'private.pending_reseals'::regclass
    )
  );
$$;

comment on function public.rewrap_load() is
  'The load that a rotation watches: the number of backends that have waited 100 ms for a lock, the replication lag in seconds (null without a '
  'replica or without the right to see it), and the planner''s estimates of the rows and of the pending reseals.';

create function public.rewrap_read(
  p_after uuid, p_limit integer, p_pending boolean, p_until uuid default null, p_organization_id uuid default null
) returns table (id uuid, organization_id uuid, config jsonb, version text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  c_bytes constant integer := 1048576;
  v_ids uuid[];
begin
  if p_pending is null or p_limit is null or p_limit not between 1 and 5000 then
    raise exception 'p_limit is not between 1 and 5000, or p_pending is null' using errcode = 'invalid_parameter_value';
  end if;
  if p_pending then
    v_ids := array(
      select p.integration_id
      from private.pending_reseals p join public.integrations r on r.id = p.integration_id
      -- Of both: a bound is not inferred through an equality.
      where (p_after is null or (p.integration_id > p_after and r.id > p_after))
        and (p_until is null or (p.integration_id <= p_until and r.id <= p_until))
        and (p_organization_id is null or r.organization_id = p_organization_id)
      order by p.integration_id
      limit p_limit
    );
  end if;

  return query
    select p.id, p.organization_id, p.config, p.version::text
    from (
      select i.*, sum(i.size) over (order by i.id rows unbounded preceding) as bytes
      from (
        select c.*,
          case
            when pg_catalog.pg_column_compression(c.config) is null then pg_catalog.pg_column_size(c.config)
            else octet_length(c.config::text)
          end as size
        from (
          select r.id, r.organization_id, r.xmin as version, coalesce(r.config, 'null') as config
          from public.integrations r
          where (p_after is null or r.id > p_after)
            and (p_until is null or r.id <= p_until)
            and (p_organization_id is null or r.organization_id = p_organization_id)
            and (v_ids is null or r.id = any (v_ids))
          order by r.id
          limit p_limit
        ) c
      ) i
    ) p
    where p.bytes - p.size < c_bytes
    order by p.id;
end
$$;

comment on function public.rewrap_read(uuid, integer, boolean, uuid, uuid) is
  'The next rows by id after p_after, up to p_until: at most p_limit, and about a megabyte. p_pending: only those that are not sealed with their '
  'organization''s current data key. No row: the end.';

-- What rotations have written and no event says yet. record_rotation makes events of it; a rotation that was killed leaves it to clean_up.
create table private.rewrapped (
  id bigint generated always as identity primary key,
  role text not null,
  -- A sixteenth of the organizations, so that what is recorded at once has a bound.
  part integer not null check (part between 0 and 15),
  -- One entry for each row that was written: its organization, its former key (null: the legacy form) and its key.
  organizations uuid[] not null,
  from_kids text[] not null,
  kids text[] not null,
  written_at timestamptz not null default now()
);

create index rewrapped_part on private.rewrapped (part);

alter table private.rewrapped enable row level security;

revoke all on table private.rewrapped from public, anon, authenticated, service_role;

create function public.rewrap_write(p_ids uuid[], p_versions text[], p_patches jsonb[], p_from_kids text[]) returns bigint
-- Without hash and merge joins rows are locked in the order of p_ids: two rotators on the same rows, both in the order of ids, wait
-- for each other but never deadlock.
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set enable_hashjoin = off set enable_mergejoin = off set lock_timeout = '2s' as $$
declare
  v_written bigint;
begin
  if p_ids is null or p_versions is null or p_patches is null or p_from_kids is null
    or cardinality(p_ids) > 5000
    or cardinality(p_versions) <> cardinality(p_ids) or cardinality(p_patches) <> cardinality(p_ids)
    or cardinality(p_from_kids) <> cardinality(p_ids)
  then
    raise exception 'not at most 5000 ids with a version, a patch and a former key id each' using errcode = 'invalid_parameter_value';
  end if;
  if exists (select from unnest(p_patches) patch where patch->'_enc'->>'kid' is null) then
    raise exception 'a patch without a key id' using errcode = 'invalid_parameter_value', hint = 'a patch is an object with _enc';
  end if;

  -- A crash of the server may undo this; a further run finds the rows again. record_rotation makes all of it durable.
  perform set_config('synchronous_commit', 'off', true);
  perform set_config('integrations.rewrap', 'on', true);
  with written as (
    update public.integrations i
    set config = i.config || rewrapped.patch
    from unnest(p_ids, p_versions, p_patches, p_from_kids) rewrapped (id, version, patch, from_kid)
    where i.id = rewrapped.id and i.xmin = rewrapped.version::xid and jsonb_typeof(i.config) = 'object'
    returning i.organization_id, rewrapped.patch->'_enc'->>'kid' as kid, rewrapped.from_kid
  ), traced as (
    insert into private.rewrapped (role, part, organizations, from_kids, kids)
    select session_user, w.part, array_agg(w.organization_id), array_agg(w.from_kid), array_agg(w.kid)
    from (select *, get_byte(uuid_send(organization_id), 0) / 16 as part from written) w
    group by w.part
  )
  select count(*) into v_written from written;
  -- As the database has them now: a data key may have been replaced since the batch was sealed.
  -- Not joined, or the planner begins with every data key there is.
  delete from private.pending_reseals p
    where p.integration_id = any (p_ids) and (
      select (
        select d.replaced_at is null from private.data_keys d where d.organization_id = i.organization_id and d.kid = i.config->'_enc'->>'kid'
      )
      from public.integrations i where i.id = p.integration_id
    );
  perform set_config('integrations.rewrap', 'off', true);
  return v_written;
end
$$;

comment on function public.rewrap_write(uuid[], text[], jsonb[], text[]) is
  'Replaces top-level fields of many configs, each only if its row is still the version that was read, and keeps in the same transaction what '
  'the rotation''s events will say of them. Returns the number of written rows. A patch holds the sealed fields, whole, and _enc, so key id '
  'and values change in one write; updated_at stays. p_from_kids are the former key ids, null for the legacy form. What is then sealed with the '
  'current data key is no pending reseal any more. A crash of the server may '
  'undo the batch, never half of it, until record_rotation has been called. Waits at most two seconds for another writer of a row, then '
  'fails whole with 55P03.';

create function public.record_opening(p_reason text, p_kid text, p_organizations uuid[]) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_reason is null or p_reason not in ('rotate', 'verify', 'export') or p_organizations is null or cardinality(p_organizations) > 5000 then
    raise exception 'p_reason is not rotate, verify or export, or not at most 5000 organizations' using errcode = 'invalid_parameter_value';
  end if;
  insert into public.credential_events (actor, organization_id, action, outcome, reason, details)
    select 'keytool', o.id, 'opened', 'succeeded', p_reason, jsonb_strip_nulls(jsonb_build_object('to', p_kid, 'role', session_user))
    from unnest(p_organizations) o (id);
  return cardinality(p_organizations);
end
$$;

comment on function public.record_opening(text, text, uuid[]) is
  'Called before keytool opens rows of these organizations, to verify them, to export them or to rewrap them with p_kid: writes an event for each. '
  'Returns the number of events.';

create function private.record_rotated(p_part integer) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count integer;
begin
  with taken as (
    delete from private.rewrapped r where r.part = p_part
    returning r.role, r.organizations, r.from_kids, r.kids, r.written_at
  )
  insert into public.credential_events (occurred_at, actor, organization_id, action, outcome, details)
    select max(t.written_at), 'keytool', w.organization_id, 'rotated', 'succeeded', jsonb_build_object(
      'rows', count(*), 'from', to_jsonb(array_agg(distinct coalesce(w.from_kid, 'legacy'))), 'to', w.kid, 'role', t.role
    )
    from taken t, unnest(t.organizations, t.from_kids, t.kids) w (organization_id, from_kid, kid)
    group by w.organization_id, w.kid, t.role;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

comment on function private.record_rotated(integer) is
  'Writes the event rotated for each organization of one part (0 to 15) whose rows rewrap_write has written since the last call. Returns the number '
  'of events.';

create function public.record_rotation(p_part integer default 0) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_events integer := 0;
begin
  if p_part is null or p_part not between 0 and 15 then
    raise exception 'not a part from 0 to 15' using errcode = 'invalid_parameter_value';
  end if;
  -- A transaction without writes commits without waiting for the log. Locking a row is a write.
  perform from private.fence f for key share;
  for v_part in p_part .. 15 loop
    v_events := v_events + private.record_rotated(v_part);
    if v_events >= 5000 and v_part < 15 then
      return v_part + 1;
    end if;
  end loop;
  delete from private.pending_reseals p where not exists (select from public.integrations i where i.id = p.integration_id);
  return null;
end
$$;

comment on function public.record_rotation(integer) is
  'Ends a rotation: writes the event rotated for each organization with rewrapped rows, and makes all earlier writes of rewrap_write durable. Some '
  'thousand organizations a call: returns the p_part of the next one, or null. Forgets the pending reseals of deleted integrations.';

create function private.record_ended_rotations() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_part integer;
begin
  -- Longer than a rotation pauses for a busy database.
  select min(r.part) into v_part from private.rewrapped r having max(r.written_at) < now() - interval '15 minutes';
  if v_part is null then
    return false;
  end if;
  perform private.record_rotated(v_part);
  return true;
end
$$;

comment on function private.record_ended_rotations() is
  'Writes the events of a rotation that was killed before it could, a part at a time. Returns whether there may be more.';

create function public.clean_up(p_event_days integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_more boolean;
  v_count integer;
begin
  if p_event_days is null or p_event_days not between 30 and 36500 then
    raise exception 'p_event_days is not between 30 and 36500' using errcode = 'invalid_parameter_value';
  end if;
  v_more := private.clean_up_webhooks();

  delete from public.oauth_transactions t
    where t.id in (
      select e.id from public.oauth_transactions e
      where e.expires_at <= now() order by e.expires_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 1000;

  -- Longer than any call can take.
  delete from private.ended_connections c
    where c.id in (
      select e.id from private.ended_connections e
      where e.ended_at <= now() - interval '1 hour' order by e.ended_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 1000;

  delete from private.rate_limits r
    where (r.kind, r.subject) in (
      select e.kind, e.subject from private.rate_limits e
      where e.ends_at <= now() order by e.ends_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 1000;

  v_more := private.record_ended_rotations() or v_more;
  v_more := private.delete_old_events(p_event_days) or v_more;
  perform private.clean_up_service_keys(p_event_days);
  v_more := private.clean_up_connect_sessions() or v_more;
  v_more := private.clean_up_assessments(p_event_days) or v_more;
  -- Last, because writers wait for the keys that it locks.
  v_more := (public.delete_replaced_data_keys(100)->>'count')::integer = 100 or v_more;
  return jsonb_build_object('outcome', 'cleaned', 'more', v_more);
end
$$;

comment on function public.clean_up(integer) is
  'Writes the events of rotations that were killed. Deletes replaced data keys that nothing uses, and what has expired: authorization transactions, rate limits, ended connections, connect sessions that ended a day ago, settled deliveries of two weeks ago; events, '
  'service keys that have ended, runs of the scanner, ended findings and mutes older than p_event_days. Ends runs that have not ended within a day. more: a bound was reached.';

create function public.export_integrations(p_ids uuid[]) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_ids is null or cardinality(p_ids) > 5000 then
    raise exception 'p_ids is no list of at most 5000 ids' using errcode = 'invalid_parameter_value';
  end if;
  return jsonb_build_object(
    'outcome', 'read',
    'rows', coalesce(
      (
        select jsonb_object_agg(i.id, jsonb_build_object(
          'integration_type', i.integration_type, 'name', i.name, 'status', i.status, 'external_account_id', i.external_account_id,
          'external_user_id', i.external_user_id, 'oauth_app_id', i.oauth_app_id, 'scan_schedule', i.scan_schedule, 'created_at', i.created_at, 'updated_at', i.updated_at
        ))
        from public.integrations i
        where i.id = any (p_ids)
      ),
      '{}'
    )
  );
end
$$;

comment on function public.export_integrations(uuid[]) is
  'The plain columns of up to 5000 integrations, by id, for keytool''s export. Their configs come from rewrap_read.';

create function public.schedule_state() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'overdue_seconds', greatest(0, floor(extract(epoch from now() - least(
      (select min(t.expires_at) from public.oauth_transactions t),
      (select min(p.expires_at) from public.pending_connections p),
      (select min(r.ends_at) from private.rate_limits r)
    ))))::bigint
  );
$$;

comment on function public.schedule_state() is
  'For how many seconds something has been due that every run of the schedule cleans up, or 0. Far above a minute, '
  'the schedule does not run.';

revoke all on function 
  private.record_rotated(integer),
  private.record_ended_rotations(),
  public.rewrap_load(),
  public.rewrap_read(uuid, integer, boolean, uuid, uuid),
  public.rewrap_write(uuid[], text[], jsonb[], text[]),
  public.record_opening(text, text, uuid[]),
  public.record_rotation(integer),
  public.export_integrations(uuid[]),
  public.schedule_state(),
  public.clean_up(integer)
from public, anon, authenticated, service_role;
grant execute on function 
  public.rewrap_load(),
  public.rewrap_read(uuid, integer, boolean, uuid, uuid),
  public.rewrap_write(uuid[], text[], jsonb[], text[]),
  public.record_opening(text, text, uuid[]),
  public.record_rotation(integer),
  public.export_integrations(uuid[]),
  public.schedule_state(),
  public.clean_up(integer)
to service_role;
