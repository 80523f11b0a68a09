-- The members of organizations, and the one rule of access that every policy and every function uses.

-- For internal helpers: PostgREST does not serve this schema.
create schema if not exists private;

create table public.organization_members (
  organization_id uuid not null,
  user_id uuid not null,
  role text not null default 'member' check (role in ('owner', 'admin', 'member')),
  created_at timestamptz not null default now(),
  primary key (organization_id, user_id)
);

create index organization_members_user_id on public.organization_members (user_id);

comment on table public.organization_members is
  'Users of an organization. A personal organization (organization_id = user_id) needs no row.';

alter table public.organization_members enable row level security;

create function private.organizations_of(p_user_id uuid) returns uuid[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select array(
    select p_user_id where p_user_id is not null
    union all
    select m.organization_id from public.organization_members m where m.user_id = p_user_id
  );
$$;

comment on function private.organizations_of(uuid) is
  'The organizations a user may access: the personal one, whose id is the user''s, and those the user is a member of. Nothing '
  'else in a token counts, because users can edit their own user_metadata.';

create function private.my_organizations() returns uuid[]
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select private.organizations_of(auth.uid());
$$;

comment on function private.my_organizations() is
  'The organizations of the signed-in user.';

create function private.can_access_organization(p_organization_id uuid) returns boolean
language sql stable
return p_organization_id = any (private.my_organizations());

comment on function private.can_access_organization(uuid) is
  'The rule that every policy uses. Without security definer and search_path, so that the planner inlines it and a policy becomes '
  'an index condition (a list over 200,000 rows: 0.1 ms instead of 1.8 s). Its body was resolved when it was created.';

create function private.is_member(p_user_id uuid, p_organization_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(p_organization_id = any (private.organizations_of(p_user_id)), false);
$$;

comment on function private.is_member(uuid, uuid) is
  'Whether a user may access an organization.';

create function private.lock_membership(p_user_id uuid, p_organization_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from public.organization_members m
    where m.organization_id = p_organization_id and m.user_id = p_user_id
    for share;
  return private.is_member(p_user_id, p_organization_id);
end
$$;

comment on function private.lock_membership(uuid, uuid) is
  'Like is_member, for a function that is about to write: the membership cannot end before the caller''s transaction does.';

grant usage on schema private to authenticated;

-- Supabase grants all rights on a new table in public to anon and authenticated. The project's defaults stay unchanged, because its other
-- tables may rely on them; each table here revokes its own.
revoke all on table public.organization_members from public, anon, authenticated, service_role;

grant select on table public.organization_members to authenticated;

grant select, insert, update, delete on table public.organization_members to service_role;

create policy "Users can read their own memberships"
  on public.organization_members
  for select to authenticated
  using (user_id = (select auth.uid()));

create table private.rate_limits (
  -- The limit, and the subject whose attempts are counted: a user's id or a keyed hash, never an address or an e-mail address itself.
  kind text not null check (char_length(kind) between 1 and 64),
  subject text not null check (char_length(subject) between 1 and 200),
  attempts integer not null,
  ends_at timestamptz not null,
  blocked_until timestamptz not null default '-infinity',
  primary key (kind, subject)
);

comment on column private.rate_limits.ends_at is 'From then on the attempts no longer count.';

create index rate_limits_ends_at on private.rate_limits (ends_at);

alter table private.rate_limits enable row level security;

revoke all on table private.rate_limits from public, anon, authenticated, service_role;

create function private.admit(
  p_kind text, p_subject text, p_free integer, p_window interval, p_pause interval default null, p_longest interval default null
) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row private.rate_limits;
begin
  -- Attempts of one subject queue at the row, so none is counted twice or not at all. Each transaction locks only its own subjects' rows.
  insert into private.rate_limits as r (kind, subject, attempts, ends_at) values (p_kind, p_subject, 0, now() + p_window)
    on conflict (kind, subject) do update set
      attempts = case when r.ends_at <= now() then 0 else r.attempts end,
      blocked_until = case when r.ends_at <= now() then '-infinity' else r.blocked_until end,
      ends_at = case when r.ends_at <= now() then now() + p_window else r.ends_at end
    returning * into v_row;
  if v_row.blocked_until > now() then
    return ceil(extract(epoch from v_row.blocked_until - now()));
  end if;

  v_row.attempts := v_row.attempts + 1;
  if v_row.attempts >= p_free then
    v_row.blocked_until := case
      when p_pause is null then v_row.ends_at
      else now() + least(p_pause * 2 ^ least(v_row.attempts - p_free, 30), p_longest)
    end;
    v_row.ends_at := greatest(v_row.ends_at, v_row.blocked_until + coalesce(p_window * (p_pause is not null)::integer, '0'));
  end if;
  update private.rate_limits r
    set attempts = v_row.attempts, blocked_until = v_row.blocked_until, ends_at = v_row.ends_at
    where r.kind = p_kind and r.subject = p_subject;
  return 0;
end
$$;

comment on function private.admit(text, text, integer, interval, interval, interval) is
  'Returns how many seconds an attempt must wait; 0: it is admitted and counted. p_free attempts in p_window are admitted. '
  'Without p_pause the next one waits for the end of the window; with p_pause it waits that long, the next one twice as long, up '
  'to p_longest. An attempt that must wait is not counted, so asking never makes the wait longer.';

create function public.admit_write(p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_seconds integer;
begin
  v_seconds := private.admit('writes in a minute', p_user_id::text, 120, '1 minute');
  if v_seconds = 0 then
    v_seconds := private.admit('writes in a day', p_user_id::text, 5000, '1 day');
  end if;
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted');
end
$$;

comment on function public.admit_write(uuid) is
  'Counts a request that changes something. A user may make 120 a minute and 5,000 a day. Returns admitted, or too_many with '
  'seconds.';

create function public.admit_sign_in(p_account text, p_address text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_seconds integer;
begin
  if p_account is null or p_address is null then
    raise exception 'p_account or p_address is null' using errcode = 'invalid_parameter_value';
  end if;
  v_seconds := private.admit('sign-ins of an address', p_address, 30, '10 minutes', '2 seconds', '2 minutes');
  if v_seconds = 0 then
    v_seconds := private.admit(
      'sign-ins of an address to an account', p_account || ' ' || p_address, 5, '1 hour', '5 seconds', '15 minutes'
    );
  end if;
  if v_seconds = 0 then
    v_seconds := private.admit('sign-ins to an account', p_account, 50, '10 minutes', '1 second', '10 seconds');
  end if;
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted');
end
$$;

comment on function public.admit_sign_in(text, text) is
  'Counts an attempt with a password, before it is tried, by keyed hashes of the email address and of the client''s address. The '
  'strictest limit is that of one address on one account. The limit of an account over all addresses has short pauses only, so '
  'nobody can lock its owner out. It makes no difference whether the account exists. Returns admitted, or too_many with seconds.';

create function public.forgive_sign_ins(p_account text, p_address text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- In the order in which admit_sign_in locks them.
  delete from private.rate_limits r
    where r.kind = 'sign-ins of an address to an account' and r.subject = p_account || ' ' || p_address;
  delete from private.rate_limits r where r.kind = 'sign-ins to an account' and r.subject = p_account;
  return jsonb_build_object('outcome', 'forgiven');
end
$$;

comment on function public.forgive_sign_ins(text, text) is
  'Deletes the attempts on an account, not those of the address. Called after a correct password.';

revoke all on function 
  private.organizations_of(uuid),
  private.my_organizations(),
  private.can_access_organization(uuid),
  private.is_member(uuid, uuid),
  private.lock_membership(uuid, uuid),
  private.admit(text, text, integer, interval, interval, interval),
  public.admit_write(uuid),
  public.admit_sign_in(text, text),
  public.forgive_sign_ins(text, text)
from public, anon, authenticated, service_role;
grant execute on function 
  private.my_organizations(),
  private.can_access_organization(uuid)
to authenticated;
grant execute on function 
  public.admit_write(uuid),
  public.admit_sign_in(text, text),
  public.forgive_sign_ins(text, text)
to service_role;


-- The audit trail: every use and every change of credentials, by whom and why.

create table public.credential_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now(),
  user_id uuid,
  organization_id uuid not null,
  integration_id uuid,
  integration_type text,
  external_account_id text,
  action text not null constraint credential_events_action check (action in (
    'connected', 'reconnected', 'disconnected', 'opened', 'refreshed', 'refresh_failed', 'checked', 'renamed', 'rescheduled', 'tagged', 'rotated',
    'data_keys_deleted', 'revoked'
  )),
  outcome text not null constraint credential_events_outcome check (outcome in (
    'succeeded', 'failed', 'unsupported', 'kept', 'active', 'degraded', 'reconnect_required', 'revoked'
  )),
  request_id text check (char_length(request_id) <= 200),
  actor text not null default 'user' constraint credential_events_actor check (actor in ('user', 'service', 'service_key', 'keytool', 'scanner')),
  reason text constraint credential_events_reason check (char_length(reason) between 1 and 64),
  details jsonb constraint credential_events_details check (octet_length(details::text) <= 4096),
  transaction_id xid8 not null default pg_current_xact_id(),
  constraint credential_events_user check (actor <> 'user' or user_id is not null),
  constraint credential_events_integration check ((integration_id is null) = (integration_type is null) and (integration_id is not null or actor = 'keytool'))
);

comment on table public.credential_events is
  'Append-only, until clean_up deletes what is older than the retention. Without foreign keys: an event outlives its integration.';

-- For exports, of one organization and of all.
create index credential_events_organization on public.credential_events (organization_id, transaction_id, id);

create index credential_events_transaction on public.credential_events (transaction_id, id);

alter table public.credential_events enable row level security;

revoke all on table public.credential_events from public, anon, authenticated, service_role;

revoke all on sequence public.credential_events_id_seq from public, anon, authenticated, service_role;

grant select on table public.credential_events to service_role;

create function private.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tg_op = 'DELETE' and current_setting('integrations.deletes_old_events', true) = 'on' then
    return null;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end
$$;

comment on function private.refuse_change() is
  'Rejects changes to an append-only table, also by its owner.';

create function private.refuse_young_deletions() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from deleted d where d.occurred_at > now() - interval '30 days') then
    raise exception '% keeps everything for 30 days at least', tg_table_name using errcode = 'insufficient_privilege';
  end if;
  return null;
end
$$;

comment on function private.refuse_young_deletions() is
  'Rejects the deletion of an event younger than 30 days, whatever the retention says.';

create trigger append_only
  before update or delete or truncate on public.credential_events
  for each statement
  execute function private.refuse_change();

create trigger keep_young
  after delete on public.credential_events
  referencing old table as deleted
  for each statement
  execute function private.refuse_young_deletions();

comment on column public.credential_events.actor is
  'user: a signed-in user (user_id); service: the worker itself; service_key: a program with a service key (details); '
  'keytool: an operator; scanner: the scanner itself.';

comment on column public.credential_events.reason is
  'A short code: what the credential was opened for, why a refresh or a check failed. Never a value.';

comment on column public.credential_events.details is
  'For keytool: the number of rows, the key ids from and to, and the database role. For a '
  'service key: its id (service_key) and its name; of a connection through a connect session also that (connect_session) and the '
  'end user (external_user_id).';

comment on column public.credential_events.outcome is
  'succeeded or failed; for a revocation also unsupported (the provider has no endpoint for it) or kept (another integration uses the '
  'grant); for a check the new status.';

comment on column public.credential_events.integration_id is
  'The integration, or the pending connection of a grant without an account. Null: all integrations of the organization.';

comment on column public.credential_events.transaction_id is
  'The transaction that wrote the event. Ids are assigned before the commit, so an event can appear after others with higher ids; in the '
  'order of transactions, up to the oldest that is still running, none can.';

-- An integration's events are read newest first.
create index credential_events_integration on public.credential_events (integration_id, id);

create function private.write_event(
  p_actor text, p_user_id uuid, p_organization_id uuid, p_integration_id uuid, p_integration_type text,
  p_external_account_id text, p_action text, p_outcome text default 'succeeded', p_reason text default null,
  p_request_id text default null, p_details jsonb default null
) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  insert into public.credential_events (
    actor, user_id, organization_id, integration_id, integration_type, external_account_id, action, outcome, reason, request_id,
    details
  ) values (
    p_actor, p_user_id, p_organization_id, p_integration_id, p_integration_type, p_external_account_id, p_action, p_outcome,
    p_reason, p_request_id, p_details
  );
$$;

comment on function private.write_event(text, uuid, uuid, uuid, text, text, text, text, text, text, jsonb) is
  'Writes an audit event. Called in the transaction of what it records, so no credential is handed out or changed without its '
  'event.';

create function private.actor(p_user_id uuid, p_service_key uuid) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select case when p_service_key is not null then 'service_key' when p_user_id is not null then 'user' else 'service' end;
$$;

comment on function private.actor(uuid, uuid) is
  'An event''s actor: a service key, a user, or with neither the worker itself.';

grant select (
  id, occurred_at, actor, user_id, organization_id, integration_id, integration_type, action, outcome, reason, request_id, details
) on table public.credential_events to authenticated;

create policy "Members can read their organization's events"
  on public.credential_events
  for select to authenticated
  using (private.can_access_organization(organization_id));

create function public.export_events(
  p_user_id uuid, p_service_key uuid, p_organization_id uuid, p_limit integer, p_transaction_id text default null, p_id bigint default null
) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_newest xid8;
  v_events jsonb;
begin
  if p_limit is null or p_limit not between 1 and 200 then
    raise exception 'p_limit is not between 1 and 200' using errcode = 'invalid_parameter_value';
  end if;
  if not (case
    when p_organization_id is null then private.service_key_covers_all(p_service_key, 'connections:read')
    else private.has_access(p_user_id, p_service_key, 'connections:read', p_organization_id)
  end) then
    return jsonb_build_object('outcome', 'exported', 'events', '[]'::jsonb);
  end if;
  -- Transaction ids begin anew in another cluster. Events that were restored into one would hide the next ones from whoever continues.
  select e.transaction_id into v_newest from public.credential_events e order by e.transaction_id desc, e.id desc limit 1;
  if v_newest >= pg_snapshot_xmax(pg_current_snapshot()) then
    raise exception 'credential_events has transactions of another cluster' using
      errcode = 'IK003', hint = 'docs/operations.md, Restore, says how to renumber them';
  end if;
  -- Every event that was exported is older. The ids that such a cursor has seen are given to other transactions after a restore, whose
  -- events it would skip.
  if p_transaction_id::xid8 >= pg_snapshot_xmax(pg_current_snapshot()) then
    return jsonb_build_object('outcome', 'unknown_cursor');
  end if;
  select jsonb_agg(to_jsonb(e) order by e.transaction_id, e.id) into v_events
    from (
      select
        c.transaction_id, c.id, c.occurred_at, c.organization_id, c.integration_id, c.integration_type, c.actor, c.user_id, c.action,
        c.outcome, c.reason, c.request_id, c.details
      from public.credential_events c
      where (p_organization_id is null or c.organization_id = p_organization_id)
        and (c.transaction_id, c.id) > (coalesce(p_transaction_id, '0')::xid8, coalesce(p_id, 0))
        and c.transaction_id < pg_snapshot_xmin(pg_current_snapshot())
      order by c.transaction_id, c.id
      limit p_limit
    ) e;
  return jsonb_build_object('outcome', 'exported', 'events', coalesce(v_events, '[]'));
end
$$;

comment on function public.export_events(uuid, uuid, uuid, integer, text, bigint) is
  'Up to p_limit events after (p_transaction_id, p_id), both null at the beginning, in the order of the transactions that wrote them. Events '
  'of transactions that are no older than the oldest running one wait, so whoever continues after the last event misses none. '
  'p_organization_id null: of all, for a service key of all. What the caller may not see is left out. Returns exported, or unknown_cursor: '
  'no transaction of this database has such an id yet, so the cursor is from before a restore.';

create function private.delete_old_events(p_days integer) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_deleted integer;
begin
  perform set_config('integrations.deletes_old_events', 'on', true);
  -- Ids rise with time, so the oldest come first and the scan ends after 5,000.
  delete from public.credential_events c
    where c.id in (
      select e.id from (select o.id, o.occurred_at from public.credential_events o order by o.id limit 5000) e
      where e.occurred_at < now() - make_interval(days => p_days)
    );
  get diagnostics v_deleted = row_count;
  perform set_config('integrations.deletes_old_events', 'off', true);
  return v_deleted = 5000;
end
$$;

comment on function private.delete_old_events(integer) is
  'Deletes up to 5,000 events older than p_days days. Returns whether there may be more. Nothing else can delete an event.';

revoke all on function 
  private.actor(uuid, uuid),
  private.refuse_change(),
  private.refuse_young_deletions(),
  private.write_event(text, uuid, uuid, uuid, text, text, text, text, text, text, jsonb),
  private.delete_old_events(integer),
  public.export_events(uuid, uuid, uuid, integer, text, bigint)
from public, anon, authenticated, service_role;
grant execute on function public.export_events(uuid, uuid, uuid, integer, text, bigint) to service_role;
