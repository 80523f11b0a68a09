-- The scanner's data: runs (the source document's `assessments`), the coverage of each run, findings across runs, and mutes.
--
-- The source document names the table `assessments` and says that the scanner stores its results there; the columns are ours.
--
-- Lock order: the integration's row, then its run's claim, then findings, then webhook endpoints.

create table public.assessments (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  account_id text,
  trigger text not null check (trigger in ('schedule', 'user')),
  slot timestamptz,
  requested_by uuid,
  state text not null default 'queued' check (state in ('queued', 'running', 'done')),
  outcome text check (outcome in ('complete', 'incomplete', 'not_run')),
  reason text check (char_length(reason) between 1 and 64),
  catalogue text check (char_length(catalogue) between 1 and 128),
  baseline boolean,
  requests integer not null default 0 check (requests >= 0),
  passed integer,
  failed integer,
  unknown integer,
  not_applicable integer,
  muted integer,
  opened integer,
  reopened integer,
  resolved integer,
  unverified integer,
  queued_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  ended_by uuid,
  check ((state = 'done') = (outcome is not null) and (state = 'done') = (finished_at is not null)),
  check ((trigger = 'user') = (requested_by is not null)),
  check (outcome is distinct from 'not_run' or reason is not null)
);

comment on table public.assessments is
  'A run of the scanner over one integration. Without foreign keys: a run outlives its integration.';

comment on column public.assessments.slot is 'The slot of the schedule that the run is for.';

comment on column public.assessments.outcome is
  'complete: every check was judged. incomplete: some could not be. not_run: no request was made; the reason says why.';

comment on column public.assessments.reason is
  'Why it is incomplete or did not run: a reason of a check, the status_reason of the integration, disconnected, account_replaced, '
  'not_checked (the health check was postponed), still_running (the slot of a run that has not ended), unreadable (the credential does not open), '
  'timed_out, scanner_failed.';

comment on column public.assessments.catalogue is 'The hash of the checks that judged.';

comment on column public.assessments.baseline is 'The account''s first run: the findings that it opens are not announced.';

comment on column public.assessments.muted is 'The number of muted open findings at the end of the run.';

comment on column public.assessments.ended_by is 'The scanner that ended it, so that a call whose response was lost can be repeated.';

create unique index assessments_open on public.assessments (integration_id) where state <> 'done';

create index assessments_integration on public.assessments (integration_id, queued_at desc, id);

create index assessments_organization on public.assessments (organization_id, queued_at desc, id);

create index assessments_queued_at on public.assessments (queued_at);

create table public.assessment_checks (
  assessment_id uuid not null references public.assessments (id) on delete cascade,
  organization_id uuid not null,
  check_id text not null check (char_length(check_id) between 1 and 100),
  check_version integer not null,
  status text not null check (status in ('pass', 'fail', 'unknown', 'not_applicable', 'manual')),
  reason text check (char_length(reason) between 1 and 64),
  needs text[] not null default '{}',
  complete boolean not null,
  passed integer not null,
  failed integer not null,
  unknown integer not null,
  not_applicable integer not null,
  primary key (assessment_id, check_id)
);

comment on table public.assessment_checks is
  'The coverage of one check in a run: the number of resources, and why not all of them.';

comment on column public.assessment_checks.complete is
  'Every resource was checked with a known result. Only then does a resource that was not listed count as gone.';

create table public.findings (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  account_id text,
  identity bytea not null,
  check_id text not null,
  check_version integer not null,
  resource_type text not null,
  resource_id text not null,
  resource_name text,
  item text not null,
  severity text not null check (severity in ('critical', 'high', 'medium', 'low', 'info')),
  sort_key text collate "C" not null generated always as (
    case severity when 'critical' then '1' when 'high' then '2' when 'medium' then '3' when 'low' then '4' else '5' end
    -- 14 digits until the year 2112.
    || to_hex(9007199254740991 - (date_part('epoch', opened_at - timestamptz '1970-01-01 00:00:00+00') * 1000000)::bigint)
    || id::text
  ) stored,
  state text not null default 'open' check (state in ('open', 'resolved', 'archived')),
  ended_as text check (ended_as in ('passed', 'gone', 'check_removed', 'account_replaced', 'disconnected')),
  unverified_since timestamptz,
  unverified_reason text check (char_length(unverified_reason) between 1 and 64),
  evidence jsonb not null default '{}',
  reopened integer not null default 0,
  first_seen_at timestamptz not null default now(),
  opened_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'open') = (ended_as is null) and (state = 'open') = (ended_at is null)),
  check ((state = 'resolved') = (coalesce(ended_as, '') in ('passed', 'gone'))),
  check (unverified_since is null or state = 'open'),
  check ((unverified_since is null) = (unverified_reason is null))
)
-- Half of a page is free for the next versions of its rows: a finding that becomes unverified, or verified, changes no index.
with (fillfactor = 50);

comment on table public.findings is
  'A failure of a check at one resource, across runs, from its first one on. Without foreign keys: it outlives its integration.';

comment on column public.findings.identity is
  'private.finding_identity of account, check, resource and item: ids of the provider, never names.';

comment on column public.findings.sort_key is
  'The order of lists, and their cursor: the most severe first (1 is critical, 5 info), then the youngest.';

comment on column public.findings.state is
  'resolved: proven, by a pass of the resource or its absence from a list that was read to its end. archived: nothing checks it any more.';

comment on column public.findings.unverified_since is
  'The finding is open, but no run could check it since then. Null: the last run saw the failure.';

create unique index findings_identity on public.findings (integration_id, identity);

-- No two sort keys are equal, so looking for duplicates would only cost time. Open findings have indexes of their own: without the state they
-- are cheaper to compare and smaller, and most of a large run's time goes into its indexes.
create index findings_organization on public.findings (organization_id, sort_key) with (deduplicate_items = off) where state = 'open';

create index findings_organization_ended on public.findings (organization_id, state, sort_key) with (deduplicate_items = off)
  where state <> 'open';

create index findings_integration on public.findings (integration_id, sort_key) with (deduplicate_items = off) where state = 'open';

create index findings_integration_ended on public.findings (integration_id, state, sort_key) with (deduplicate_items = off)
  where state <> 'open';

create index findings_check on public.findings (organization_id, check_id, state, sort_key) with (deduplicate_items = off);

create index findings_ended_at on public.findings (ended_at) where state <> 'open';

create table public.finding_events (
  id bigint generated always as identity primary key,
  occurred_at timestamptz not null default now(),
  finding_id uuid not null,
  organization_id uuid not null,
  assessment_id uuid,
  action text not null check (action in ('opened', 'reopened', 'resolved', 'archived', 'unverified', 'verified', 'severity_changed')),
  cause text check (cause in ('configuration', 'check', 'permission', 'user', 'time')),
  reason text check (char_length(reason) between 1 and 64),
  announced boolean not null default false
);

comment on table public.finding_events is
  'The history of findings, append-only until clean_up deletes what is older than the retention. Mutes are rows of their own.';

comment on column public.finding_events.cause is
  'What changed: the account''s configuration, the check, what the credential may see, a user, or only the time. Null: unknown '
  '(the first run, an outage).';

comment on column public.finding_events.reason is 'How it ended (passed, gone …), or why it could not be checked.';

comment on column public.finding_events.announced is 'Whether webhooks report it.';

create index finding_events_finding on public.finding_events (finding_id, id);

create trigger append_only
  before update or delete or truncate on public.finding_events
  for each statement
  execute function private.refuse_change();

create trigger keep_young
  after delete on public.finding_events
  referencing old table as deleted
  for each statement
  execute function private.refuse_young_deletions();

create table public.finding_mutes (
  id uuid primary key default gen_random_uuid(),
  organization_id uuid not null,
  integration_id uuid,
  check_id text not null check (char_length(check_id) between 1 and 100),
  resource_id text check (char_length(resource_id) between 1 and 1000),
  item text check (char_length(item) between 1 and 300),
  reason text not null check (reason in ('accepted_risk', 'false_positive', 'compensating_control', 'wont_fix')),
  note text not null check (char_length(note) between 3 and 500),
  created_by uuid not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz,
  ended_by uuid,
  check (expires_at > created_at and expires_at <= created_at + interval '1 year'),
  check (resource_id is null or integration_id is not null),
  check (item is null or resource_id is not null)
);

comment on table public.finding_mutes is
  'A user''s decision to hide findings. It is joined where findings are read, so it starts and ends at once, without a scan.';

comment on column public.finding_mutes.integration_id is 'Null: all of the organization. Likewise resource_id and item.';

comment on column public.finding_mutes.ended_by is 'The user who ended it early. Null: it expired.';

create index finding_mutes_organization on public.finding_mutes (organization_id, created_at desc, id);

create index finding_mutes_active on public.finding_mutes (organization_id, check_id) where ended_at is null;

create index finding_mutes_expiry on public.finding_mutes (expires_at) where ended_at is null;

create index finding_mutes_ended on public.finding_mutes (ended_at) where ended_at is not null;

-- With the reader's rights, so that row level security and the grants of columns apply.
create view public.finding_list with (security_invoker = true) as
  select f.id, f.organization_id, f.integration_id, f.integration_type, f.account_id, f.check_id, f.check_version, f.resource_type,
    f.resource_id, f.resource_name, f.item, f.severity, f.sort_key, f.state, f.ended_as, f.unverified_since, f.unverified_reason,
    f.evidence, f.reopened, f.first_seen_at, f.opened_at, f.ended_at,
    -- Not "is not null": the planner would estimate that as rare, and sort all findings of an organization to list those that are not muted.
    m.muted_until, coalesce(m.muted_until > now(), false) as muted
  from public.findings f
  cross join lateral (
    select max(a.expires_at) as muted_until from public.finding_mutes a
    where a.organization_id = f.organization_id and a.check_id = f.check_id
      and a.ended_at is null and a.expires_at > now()
      and (a.integration_id is null or a.integration_id = f.integration_id)
      and (a.resource_id is null or a.resource_id = f.resource_id)
      and (a.item is null or a.item = f.item)
  ) m;

comment on view public.finding_list is 'Findings, and until when they are muted.';

create view public.muted_finding_list with (security_invoker = true) as
  select l.id, l.organization_id, l.integration_id, l.integration_type, l.account_id, l.check_id, l.check_version, l.resource_type,
    l.resource_id, l.resource_name, l.item, l.severity, l.sort_key || '' as sort_key, l.state, l.ended_as, l.unverified_since, l.unverified_reason, l.evidence,
    l.reopened, l.first_seen_at, l.opened_at, l.ended_at, l.muted_until, l.muted
  from (
    select distinct m.organization_id, m.check_id from public.finding_mutes m where m.ended_at is null and m.expires_at > now()
  ) a
  -- The sort key as an expression: in the order of an index, a page of few muted findings would read all findings of the organization.
  join public.finding_list l on l.organization_id = a.organization_id and l.check_id = a.check_id
  where l.muted;

comment on view public.muted_finding_list is
  'The findings of finding_list that are muted. It reads the findings of checks that have an active mute, and no others.';

create view public.assessment_findings with (security_invoker = true) as
  select r.id as assessment_id, l.id, l.organization_id, l.integration_id, l.integration_type, l.account_id, l.check_id, l.check_version, l.resource_type,
    l.resource_id, l.resource_name, l.item, l.severity, l.sort_key, l.state, l.ended_as, l.unverified_since, l.unverified_reason, l.evidence,
    l.reopened, l.first_seen_at, l.opened_at, l.ended_at, l.muted_until, l.muted
  from public.assessments r
  join public.finding_list l on l.integration_id = r.integration_id and l.organization_id = r.organization_id
  where r.state = 'done' and l.first_seen_at <= r.finished_at and case
    when l.state = 'open' and l.opened_at <= r.finished_at then true
    else coalesce((
      select e.action in ('opened', 'reopened') from public.finding_events e
      where e.finding_id = l.id and e.occurred_at <= r.finished_at and e.action in ('opened', 'reopened', 'resolved', 'archived')
      order by e.id desc limit 1
    ), false)
  end;

comment on view public.assessment_findings is
  'The findings that were open when a run ended, by the history of each. Names, severity, evidence and mutes are the present ones.';

create view public.mute_list with (security_invoker = true) as
  select m.id, m.organization_id, m.integration_id, m.check_id, m.resource_id, m.item, m.reason, m.note, m.created_by, m.created_at,
    m.expires_at, m.ended_at, m.ended_by, m.ended_at is null and m.expires_at > now() as active,
    exists (
      select from public.findings f
      where f.organization_id = m.organization_id and f.check_id = m.check_id and f.state = 'open'
        and (m.integration_id is null or m.integration_id = f.integration_id)
        and (m.resource_id is null or m.resource_id = f.resource_id)
        and (m.item is null or m.item = f.item)
    ) as matches
  from public.finding_mutes m;

comment on view public.mute_list is 'Mutes, and whether an open finding matches.';

create sequence private.scan_generations;

-- The claims of runs that have not ended.
create table private.scan_claims (
  assessment_id uuid primary key references public.assessments (id) on delete cascade,
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  -- A scanner may claim the run from then on. While one has claimed it: the end of its lease.
  due_at timestamptz not null default now(),
  owner uuid,
  -- Higher with each claim: writes of an earlier claim are rejected.
  generation bigint,
  -- The number of claims since the position last changed.
  claims integer not null default 0,
  account_id text,
  catalogue text,
  -- The position of the scan, in the scanner's own format. The database never reads it.
  position text check (octet_length(position) <= 8388608),
  results integer not null default 0,
  -- Results were rejected, so resources without a result do not count as gone.
  is_full boolean not null default false
);

create index scan_claims_due on private.scan_claims (integration_type, due_at);

-- The results of a run that has not ended. A logged table: if a crash kept the position but not the results, their resources would seem gone.
create table private.scan_results (
  assessment_id uuid not null references private.scan_claims (assessment_id) on delete cascade,
  identity bytea not null,
  check_id text not null check (char_length(check_id) between 1 and 100),
  check_version integer not null,
  resource_type text not null check (char_length(resource_type) between 1 and 300),
  resource_id text not null check (char_length(resource_id) <= 1000),
  resource_name text check (char_length(resource_name) <= 1000),
  item text not null check (char_length(item) <= 300),
  status text not null check (status in ('pass', 'not_applicable', 'manual', 'unknown', 'fail')),
  reason text check (char_length(reason) between 1 and 64),
  needs text[] not null check (cardinality(needs) <= 20 and octet_length(array_to_string(needs, ' ')) <= 2000),
  severity text not null check (severity in ('critical', 'high', 'medium', 'low', 'info')),
  evidence jsonb not null check (
    jsonb_typeof(evidence) = 'object' and octet_length(evidence::text) <= 16384
    and not evidence @? 'strict $.* ? (@.type() == "object" || @.type() == "array")'
  ),
  primary key (assessment_id, identity)
);

-- The state of each check after the last run, for the cause of the next run's changes.
create table private.check_states (
  integration_id uuid not null references public.integrations (id) on delete cascade,
  check_id text not null,
  account_id text,
  check_version integer not null,
  -- The reason, if it was unknown.
  reason text,
  -- Since when it has seen something.
  seen_at timestamptz,
  primary key (integration_id, check_id)
);

do $$
declare
  v_table text;
begin
  foreach v_table in array array[
    'public.assessments', 'public.assessment_checks', 'public.findings', 'public.finding_events', 'public.finding_mutes',
    'private.scan_claims', 'private.scan_results', 'private.check_states'
  ] loop
    execute format('alter table %s enable row level security', v_table);
    execute format('revoke all on table %s from public, anon, authenticated, service_role', v_table);
  end loop;
  foreach v_table in array array['assessments', 'assessment_checks', 'findings', 'finding_events', 'finding_mutes'] loop
    execute format(
      'create policy "Members can read their organization''s %s" on public.%s for select to authenticated '
      'using (private.can_access_organization(organization_id))',
      replace(v_table, '_', ' '), v_table
    );
  end loop;
end
$$;

revoke all on table public.finding_list, public.muted_finding_list, public.assessment_findings, public.mute_list from public, anon, authenticated, service_role;

revoke all on sequence public.finding_events_id_seq, private.scan_generations from public, anon, authenticated, service_role;

grant select (
  id, organization_id, integration_id, integration_type, account_id, trigger, slot, requested_by, state, outcome, reason, catalogue, baseline,
  requests, passed, failed, unknown, not_applicable, muted, opened, reopened, resolved, unverified, queued_at, started_at, finished_at
) on table public.assessments to authenticated;

grant select (
  assessment_id, organization_id, check_id, check_version, status, reason, needs, complete, passed, failed, unknown, not_applicable
) on table public.assessment_checks to authenticated;

grant select (
  id, organization_id, integration_id, integration_type, account_id, check_id, check_version, resource_type, resource_id, resource_name,
  item, severity, sort_key, state, ended_as, unverified_since, unverified_reason, evidence, reopened, first_seen_at, opened_at, ended_at
) on table public.findings to authenticated;

grant select (id, occurred_at, finding_id, organization_id, assessment_id, action, cause, reason) on table public.finding_events to authenticated;

grant select (
  id, organization_id, integration_id, check_id, resource_id, item, reason, note, created_by, created_at, expires_at, ended_at, ended_by
) on table public.finding_mutes to authenticated;

grant select on table public.finding_list, public.muted_finding_list, public.assessment_findings, public.mute_list to authenticated;

-- The source document's application reads the table with its service key.
grant select on table public.assessments to service_role;

create function private.finding_identity(
  p_account_id text, p_check_id text, p_resource_type text, p_resource_id text, p_item text
) returns bytea
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select substr(sha256(convert_to(jsonb_build_array(p_account_id, p_check_id, p_resource_type, p_resource_id, p_item)::text, 'UTF8')), 1, 16);
$$;

comment on function private.finding_identity(text, text, text, text, text) is
  'The identity of a finding across runs: the first half of a SHA-256, because a provider''s ids may be too long for an index.';

create function private.open_run(p_row public.integrations, p_trigger text, p_slot timestamptz, p_user_id uuid) returns uuid
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_id uuid;
begin
  insert into public.assessments (organization_id, integration_id, integration_type, account_id, trigger, slot, requested_by)
    values (p_row.organization_id, p_row.id, p_row.integration_type, private.account_of(p_row), p_trigger, p_slot, p_user_id)
    on conflict (integration_id) where state <> 'done' do nothing
    returning id into v_id;
  if v_id is not null then
    insert into private.scan_claims (assessment_id, organization_id, integration_id, integration_type)
      values (v_id, p_row.organization_id, p_row.id, p_row.integration_type);
    perform private.trim_runs(p_row.id);
  end if;
  return v_id;
end
$$;

comment on function private.open_run(integrations, text, timestamp with time zone, uuid) is
  'Queues a run of a locked integration. Null: one is open already.';

create function private.trim_runs(p_integration_id uuid) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  delete from public.assessments a where a.state = 'done' and a.id = any (array(
    select o.id from public.assessments o where o.integration_id = p_integration_id
    order by o.queued_at desc, o.id offset 10000 limit 10
  ));
$$;

comment on function private.trim_runs(uuid) is
  'Keeps the newest 10,000 runs of an integration: more than three months at one every quarter of an hour.';

create function private.mark_unverified(p_integration_id uuid, p_assessment_id uuid, p_reason text) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count integer;
begin
  with marked as (
    -- opened_at as it is: PostgreSQL parses the expression of sort_key for each row again where an update names none of its columns.
    update public.findings f set unverified_since = now(), unverified_reason = p_reason, opened_at = f.opened_at
      where f.integration_id = p_integration_id and f.state = 'open' and f.unverified_since is null
      returning f.id, f.organization_id
  )
  insert into public.finding_events (finding_id, organization_id, assessment_id, action, reason)
    select m.id, m.organization_id, p_assessment_id, 'unverified', p_reason from marked m;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

comment on function private.mark_unverified(uuid, uuid, text) is
  'Marks the open findings of an integration that no run could check. Their state stays.';

create function private.archive_findings(p_integration_id uuid, p_account_id text, p_assessment_id uuid, p_ended_as text) returns integer
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_count integer;
begin
  with archived as (
    -- opened_at as in private.mark_unverified.
    update public.findings f
      set state = 'archived', ended_as = p_ended_as, ended_at = now(), unverified_since = null, unverified_reason = null, opened_at = f.opened_at
      where f.integration_id = p_integration_id and f.state = 'open'
        and (p_ended_as = 'disconnected' or f.account_id is distinct from p_account_id)
      returning f.id, f.organization_id
  )
  insert into public.finding_events (finding_id, organization_id, assessment_id, action, cause, reason)
    select a.id, a.organization_id, p_assessment_id, 'archived', 'user', p_ended_as from archived a;
  get diagnostics v_count = row_count;
  return v_count;
end
$$;

comment on function private.archive_findings(uuid, text, uuid, text) is
  'Archives the open findings of an integration that nothing will check again: all (disconnected), or those of other accounts than '
  'this one (account_replaced). They do not count as resolved.';

create function private.end_run(p_assessment_id uuid, p_outcome text, p_reason text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_run public.assessments;
  v_unverified integer;
begin
  select * into v_run from public.assessments a where a.id = p_assessment_id and a.state <> 'done';
  if not found then
    return;
  end if;
  v_unverified := private.mark_unverified(v_run.integration_id, v_run.id, p_reason);
  update public.assessments a
    set state = 'done', outcome = case when a.started_at is null then 'not_run' else p_outcome end, reason = p_reason,
      finished_at = now(), unverified = v_unverified
    where a.id = v_run.id;
  delete from private.scan_claims c where c.assessment_id = v_run.id;
end
$$;

comment on function private.end_run(uuid, text, text) is
  'Ends a run that was not judged to its end: not_run if no scanner had it, otherwise p_outcome. The integration and the claim are '
  'locked, or gone.';

create function private.record_not_run(p_row public.integrations, p_slot timestamptz, p_reason text) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_id uuid := gen_random_uuid();
  v_unverified integer := 0;
begin
  if p_reason not in ('still_running', 'not_checked') then
    v_unverified := private.mark_unverified(p_row.id, v_id, p_reason);
  end if;
  insert into public.assessments (
    id, organization_id, integration_id, integration_type, account_id, trigger, slot, state, outcome, reason, unverified, finished_at
  ) values (
    v_id, p_row.organization_id, p_row.id, p_row.integration_type, private.account_of(p_row), 'schedule', p_slot, 'done', 'not_run',
    p_reason, v_unverified, now()
  );
  perform private.trim_runs(p_row.id);
end
$$;

comment on function private.record_not_run(integrations, timestamp with time zone, text) is
  'Records a slot of the schedule without a run, so that the gap is visible.';

create function private.settle_slot(p_row public.integrations, p_slot timestamptz) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_row.status <> 'active' then
    perform private.record_not_run(p_row, p_slot, left(coalesce(p_row.status_reason, p_row.status), 64));
  elsif private.open_run(p_row, 'schedule', p_slot, null) is null then
    perform private.record_not_run(p_row, p_slot, 'still_running');
  end if;
end
$$;

comment on function private.settle_slot(integrations, timestamp with time zone) is
  'Handles a slot of the schedule once its health check is settled: queues a run if the integration is active, otherwise records a run '
  'that did not run, with the reason.';

create function public.request_scan(p_id uuid, p_user_id uuid, p_types text[]) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_row public.integrations;
  v_run public.assessments;
  v_id uuid;
  v_seconds integer;
begin
  if p_types is null then
    raise exception 'p_types is null' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from public.integrations i where i.id = p_id;
  if not found or not private.lock_admin(p_user_id, v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  -- The organization again: it is the one whose membership is locked.
  select * into v_row from public.integrations i where i.id = p_id and i.organization_id = v_row.organization_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_row.integration_type <> all (p_types) then
    return jsonb_build_object('outcome', 'not_assessable');
  end if;
  if v_row.status not in ('active', 'degraded') then
    return jsonb_build_object('outcome', 'reconnect_required');
  end if;

  select * into v_run from public.assessments a where a.integration_id = p_id and a.state <> 'done';
  if found then
    return jsonb_build_object('outcome', 'already_open', 'id', v_run.id, 'state', v_run.state);
  end if;
  v_seconds := private.admit('scans', p_user_id::text, 20, '1 hour');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  v_id := private.open_run(v_row, 'user', null, p_user_id);
  return jsonb_build_object('outcome', 'queued', 'id', v_id, 'state', 'queued');
end
$$;

comment on function public.request_scan(uuid, uuid, text[]) is
  'Queues a run of an integration for a user ("scan now"). p_types: the types that have checks. Returns queued with id and state, '
  'already_open with those of the run that has not ended, not_assessable (there are no checks for this type), reconnect_required, '
  'too_many with seconds (20 in an hour for each user), or unknown.';

create function private.due_scans(p_limit integer, p_types text[]) returns table (id uuid, turn integer)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select t.id, t.turn from private.in_turns(
    $q$
      select d.* from unnest($1) t (kind)
      cross join lateral (
        select c.assessment_id as id, c.organization_id, c.due_at from private.scan_claims c
        where c.integration_type = t.kind and c.due_at <= $2 and c.organization_id <> all ($3)
          and not exists (
            select from private.integration_pauses p
            where p.integration_id = c.integration_id and p.endpoint = 'api' and p.until > now()
          )
          and not exists (
            select from private.provider_pauses p
            where p.client = coalesce((select i.oauth_app_id::text from public.integrations i where i.id = c.integration_id), t.kind)
              and p.endpoint = 'api' and p.until > now()
          )
        order by c.due_at
        limit $4
      ) d
      order by d.due_at
      limit $4
    $q$,
    p_types, now(), p_limit
  ) t;
$$;

comment on function private.due_scans(integer, text[]) is
  'The runs of these types that a scanner may claim, by turns of their organizations.';

create function public.claim_scan_runs(p_owner uuid, p_limit integer, p_types text[], p_soon integer, p_request_id text default null)
returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_due record;
  v_row public.integrations;
  v_claim private.scan_claims;
  v_claims jsonb[] := '{}';
  v_room integer := 8388608;
begin
  if p_owner is null or p_limit is null or p_limit not between 1 and 50 or p_types is null or p_soon is null or p_soon not between 0 and 3600
  then
    raise exception 'p_limit is not between 1 and 50, p_soon not between 0 and 3600, or an argument is null' using
      errcode = 'invalid_parameter_value';
  end if;

  for v_due in
    select d.id, i as integration from private.due_scans(p_limit, p_types) d
    join private.scan_claims c on c.assessment_id = d.id
    join public.integrations i on i.id = c.integration_id
    order by d.turn, c.due_at
    limit p_limit
    for no key update of i skip locked
  loop
    exit when v_room <= 0;
    v_row := v_due.integration;
    -- Again, for a run that was claimed between the read and the lock.
    select * into v_claim from private.scan_claims c where c.assessment_id = v_due.id and c.due_at <= now() for update skip locked;
    continue when not found;

    if v_row.status not in ('active', 'degraded') then
      perform private.end_run(v_claim.assessment_id, 'incomplete', left(coalesce(v_row.status_reason, v_row.status), 64));
      continue;
    end if;
    if v_claim.claims >= 5 then
      perform private.end_run(v_claim.assessment_id, 'incomplete', 'scanner_failed');
      continue;
    end if;
    if v_claim.generation is not null and v_claim.account_id is distinct from private.account_of(v_row) then
      perform private.end_run(v_claim.assessment_id, 'incomplete', 'account_replaced');
      continue;
    end if;
    if not private.is_usable(v_row, p_soon) then
      update private.scan_claims c set owner = null, due_at = now() + interval '1 minute' where c.assessment_id = v_claim.assessment_id;
      continue;
    end if;

    -- Longer than a slice can take, including its writes. Each save_scan_position prolongs it.
    update private.scan_claims c
      set owner = p_owner, due_at = now() + interval '3 minutes', generation = nextval('private.scan_generations'), claims = c.claims + 1,
        account_id = private.account_of(v_row)
      where c.assessment_id = v_claim.assessment_id
      returning * into v_claim;
    update public.assessments a
      set state = 'running', started_at = coalesce(a.started_at, now()), account_id = v_claim.account_id
      where a.id = v_claim.assessment_id;
    perform private.write_event(
      'scanner', null, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'opened',
      p_reason => 'scan', p_request_id => p_request_id
    );
    v_claims := v_claims || jsonb_build_object(
      'id', v_claim.assessment_id,
      'generation', v_claim.generation,
      'organization_id', v_row.organization_id,
      'integration_id', v_row.id,
      'integration_type', v_row.integration_type,
      'account_id', v_claim.account_id,
      'config', v_row.config::text,
      'version', private.version_of(v_row.config),
      'catalogue', v_claim.catalogue,
      'position', v_claim.position
    );
    v_room := v_room - octet_length(v_row.config::text) - coalesce(octet_length(v_claim.position), 0);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$$;

comment on function public.claim_scan_runs(uuid, integer, text[], integer, text) is
  'Claims up to p_limit runs of these types for three minutes, organizations in turns, and returns their sealed configs. Each '
  'claim has a higher generation; what an earlier one writes is rejected. A run whose token expires within p_soon seconds, or whose '
  'refreshed token is not stored yet, is postponed by a minute: the worker refreshes it. Runs of a paused provider wait. A run whose '
  'integration needs a reconnection, that has another account by now, or that five claims have not moved, ends here. position is '
  'null at the beginning; with another catalogue than the scanner''s the scan starts again. Together configs and positions are at '
  'most about 8 MiB.';

create function private.is_usable(p_row public.integrations, p_soon integer) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(p_row.token_expires_at > now() + make_interval(secs => p_soon), true) and not exists (
    select from public.credential_leases l where l.integration_id = p_row.id and l.journal is not null
  );
$$;

comment on function private.is_usable(integrations, integer) is
  'Whether the stored access token is valid for p_soon more seconds, and no newer one is in the journal.';

create function private.lock_run(p_id uuid, p_owner uuid, p_generation bigint) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_run public.assessments;
  v_claim private.scan_claims;
begin
  select * into v_run from public.assessments a where a.id = p_id;
  if not found then
    return 'gone';
  end if;
  perform from public.integrations i where i.id = v_run.integration_id for no key update;
  if not found then
    return 'gone';
  end if;
  select * into v_claim from private.scan_claims c where c.assessment_id = p_id for update;
  if v_claim.owner = p_owner and v_claim.generation = p_generation then
    return null;
  end if;
  select * into v_run from public.assessments a where a.id = p_id;
  return case when v_run.ended_by = p_owner then 'finished' else 'changed' end;
end
$$;

comment on function private.lock_run(uuid, uuid, bigint) is
  'Locks a run''s integration, then its claim. Null if the caller holds it; otherwise why not: gone (the integration was deleted), '
  'changed (another scanner has it, or it ended), or finished (the caller finished it earlier).';

create function public.reopen_scan_credential(p_id uuid, p_owner uuid, p_generation bigint, p_soon integer, p_request_id text default null)
returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_end text;
  v_row public.integrations;
  v_account_id text;
begin
  v_end := private.lock_run(p_id, p_owner, p_generation);
  if v_end is not null then
    return jsonb_build_object('outcome', v_end);
  end if;
  select c.account_id into v_account_id from private.scan_claims c where c.assessment_id = p_id;
  select i.* into v_row from public.assessments a join public.integrations i on i.id = a.integration_id where a.id = p_id;
  if v_row.status not in ('active', 'degraded') or v_account_id is distinct from private.account_of(v_row) then
    return jsonb_build_object('outcome', 'changed');
  end if;
  if not private.is_usable(v_row, coalesce(p_soon, 0)) then
    return jsonb_build_object('outcome', 'not_usable');
  end if;
  perform private.write_event(
    'scanner', null, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'opened',
    p_reason => 'scan', p_request_id => p_request_id
  );
  return jsonb_build_object('outcome', 'opened', 'config', v_row.config::text, 'version', private.version_of(v_row.config));
end
$$;

comment on function public.reopen_scan_credential(uuid, uuid, bigint, integer, text) is
  'Returns the stored credential of a claimed run again, for a provider that no longer accepts the scanner''s one. Returns '
  'opened, not_usable (its token expires: save the position and release the run), changed, finished or gone.';

create function private.stage_results(p_id uuid, p_catalogue text, p_results jsonb) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  c_order constant text[] := '{pass,not_applicable,manual,unknown,fail}';
  v_claim private.scan_claims;
  v_added integer;
begin
  if p_catalogue is null or char_length(p_catalogue) not between 1 and 128
    or jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 5000
  then
    raise exception 'p_results is no list of at most 5000, or p_catalogue not 1 to 128 characters' using
      errcode = 'invalid_parameter_value';
  end if;
  select * into v_claim from private.scan_claims c where c.assessment_id = p_id;
  if v_claim.catalogue is distinct from p_catalogue then
    -- The stored results come from another catalogue.
    delete from private.scan_results r where r.assessment_id = p_id;
    update private.scan_claims c set catalogue = p_catalogue, results = 0, is_full = c.is_full and c.catalogue is null
      where c.assessment_id = p_id;
    v_claim.results := 0;
  end if;
  if v_claim.results + jsonb_array_length(p_results) > 50000 then
    update private.scan_claims c set is_full = true where c.assessment_id = p_id;
    return false;
  end if;

  with given as (
    select distinct on (s.identity) s.* from (
      select private.finding_identity(
          v_claim.account_id, r.check_id, r.resource->>'type', r.resource->>'id', coalesce(r.item, '')
        ) as identity,
        r.check_id, r.check_version, r.resource->>'type' as resource_type, r.resource->>'id' as resource_id, r.resource_name,
        coalesce(r.item, '') as item, r.status, r.reason, coalesce(r.needs, '{}') as needs, r.severity, coalesce(r.evidence, '{}') as evidence
      from jsonb_to_recordset(p_results) as r (
        check_id text, check_version integer, resource jsonb, resource_name text, item text, status text, reason text, needs text[],
        severity text, evidence jsonb
      )
    ) s
    order by s.identity, array_position(c_order, s.status) desc
  ), written as (
    insert into private.scan_results as k (
      assessment_id, identity, check_id, check_version, resource_type, resource_id, resource_name, item, status, reason, needs, severity,
      evidence
    )
      select p_id, g.identity, g.check_id, g.check_version, g.resource_type, g.resource_id, g.resource_name, g.item, g.status, g.reason,
        g.needs, g.severity, g.evidence
      from given g
      on conflict (assessment_id, identity) do update
        set check_version = excluded.check_version, resource_name = excluded.resource_name, status = excluded.status,
          reason = excluded.reason, needs = excluded.needs, severity = excluded.severity, evidence = excluded.evidence
        where array_position(c_order, excluded.status) > array_position(c_order, k.status)
      returning k.xmax = 0 as is_new
  )
  select count(*) filter (where w.is_new) into v_added from written w;
  update private.scan_claims c set results = c.results + v_added where c.assessment_id = p_id and v_added > 0;
  return true;
end
$$;

comment on function private.stage_results(uuid, text, jsonb) is
  'Stores results of a run until it ends, each once: of two about the same resource the worse one stays, as in a list that changes between two '
  'pages. Results of another catalogue are dropped. False: with these they would be more than 50,000; none of these is kept, and '
  'the run is marked so.';

create function public.save_scan_position(
  p_id uuid, p_owner uuid, p_generation bigint, p_catalogue text, p_position text, p_results jsonb, p_requests integer,
  p_not_before timestamptz default null, p_limited boolean default false, p_organizations integer default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_end text;
  v_row public.integrations;
begin
  if p_position is null or p_requests is null or p_requests not between 0 and 100000 then
    raise exception 'p_position is null, or p_requests not between 0 and 100000' using errcode = 'invalid_parameter_value';
  end if;
  v_end := private.lock_run(p_id, p_owner, p_generation);
  if v_end is not null then
    return jsonb_build_object('outcome', v_end);
  end if;
  if octet_length(p_position) > 8388608 then
    update private.scan_claims c set is_full = true where c.assessment_id = p_id;
    return jsonb_build_object('outcome', 'full');
  end if;
  if not private.stage_results(p_id, p_catalogue, p_results) then
    return jsonb_build_object('outcome', 'full');
  end if;
  -- The same position means the same call, repeated because its response was lost.
  update public.assessments a set requests = a.requests + p_requests
    where a.id = p_id and exists (
      select from private.scan_claims c where c.assessment_id = p_id and c.position is distinct from p_position
    );
  update private.scan_claims c
    set claims = case when c.position is distinct from p_position then 0 else c.claims end,
      position = p_position,
      owner = case when p_not_before is null then p_owner end,
      due_at = coalesce(least(p_not_before, now() + interval '1 day'), now() + interval '3 minutes')
    where c.assessment_id = p_id;
  if p_limited and p_not_before > now() then
    select i.* into v_row from public.assessments a join public.integrations i on i.id = a.integration_id where a.id = p_id;
    perform private.pause(v_row, 'api', p_not_before, p_organizations);
  end if;
  return jsonb_build_object('outcome', 'saved');
end
$$;

comment on function public.save_scan_position(
  uuid, uuid, bigint, text, text, jsonb, integer, timestamp with time zone, boolean, integer
) is
  'Stores the position of a claimed run (p_position, the scanner''s own text of at most 8 MiB) with up to 5,000 results since, in one '
  'transaction. p_requests: the number of requests since. Without p_not_before the claim is prolonged by three minutes; with it the run '
  'is released until then, a day at most. p_limited: because of the provider''s rate limit; then the pause is one of the integration, '
  'and after p_organizations organizations of its type, as pause_provider stores it. Returns saved; full (the position is larger, or all results more than 50,000: end the scan '
  'and finish it, as incomplete); changed (another scanner has it), finished or gone: then nothing was written.';

create function public.release_scan_run(p_id uuid, p_owner uuid, p_generation bigint, p_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s' as $$
declare
  v_end text;
begin
  if p_seconds is null or p_seconds not between 1 and 86400 then
    raise exception 'p_seconds is not between 1 and 86400' using errcode = 'invalid_parameter_value';
  end if;
  v_end := private.lock_run(p_id, p_owner, p_generation);
  if v_end is not null then
    return jsonb_build_object('outcome', v_end);
  end if;
  update private.scan_claims c
    set owner = null, due_at = now() + make_interval(secs => p_seconds), claims = greatest(c.claims - 1, 0)
    where c.assessment_id = p_id;
  return jsonb_build_object('outcome', 'released');
end
$$;

comment on function public.release_scan_run(uuid, uuid, bigint, integer) is
  'Ends the claim of a run that this scanner cannot work on, because it lacks the key. Nobody claims the run for p_seconds, and the claim '
  'does not count as one that did not advance it. Returns released; changed, finished or gone: then nothing was written.';

create function public.finish_scan_run(
  p_id uuid, p_owner uuid, p_generation bigint, p_catalogue text, p_checks jsonb, p_results jsonb default '[]', p_requests integer default 0,
  p_reason text default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
-- Each side of a join is an integration's, found by an index. A nested loop would be a guess at how many rows that are, and after a first
-- run the guess is wrong by four orders of magnitude.
set plan_cache_mode = 'force_custom_plan' set enable_nestloop = off set enable_seqscan = off as $$
declare
  v_end text;
  v_row public.integrations;
  v_claim private.scan_claims;
  v_run public.assessments;
begin
  if jsonb_typeof(p_checks) is distinct from 'array' or jsonb_array_length(p_checks) not between 1 and 500
    or p_requests is null or p_requests not between 0 and 100000
  then
    raise exception 'p_checks is no list of 1 to 500, or p_requests not between 0 and 100000' using errcode = 'invalid_parameter_value';
  end if;
  v_end := private.lock_run(p_id, p_owner, p_generation);
  if v_end = 'finished' then
    select * into v_run from public.assessments a where a.id = p_id;
    return jsonb_build_object('outcome', 'finished') || private.shown_run(v_run);
  elsif v_end is not null then
    return jsonb_build_object('outcome', v_end);
  end if;

  select i.* into v_row from public.assessments a join public.integrations i on i.id = a.integration_id where a.id = p_id;
  select * into v_claim from private.scan_claims c where c.assessment_id = p_id;
  if v_claim.account_id is distinct from private.account_of(v_row) then
    -- The results are about an account that this integration no longer has.
    perform private.end_run(p_id, 'incomplete', 'account_replaced');
    return jsonb_build_object('outcome', 'changed');
  end if;

  perform private.stage_results(p_id, p_catalogue, p_results);
  select * into v_claim from private.scan_claims c where c.assessment_id = p_id;
  perform private.rename_checks(v_row.organization_id, p_checks);
  update public.assessments a
    set catalogue = p_catalogue, requests = a.requests + p_requests, ended_by = p_owner,
      baseline = not exists (
        select from private.check_states s where s.integration_id = v_row.id and s.account_id is not distinct from v_claim.account_id
      )
    where a.id = p_id
    returning * into v_run;
  perform private.archive_findings(v_row.id, v_claim.account_id, p_id, 'account_replaced');
  perform private.cover_checks(v_run, v_claim, p_checks);
  perform from private.scan_results r where r.assessment_id = p_id and not exists (
    select from public.assessment_checks c where c.assessment_id = p_id and c.check_id = r.check_id
  );
  if found then
    raise exception 'a result is of a check that p_checks does not name' using errcode = 'invalid_parameter_value';
  end if;
  perform private.compare_findings(v_run, p_checks);
  perform private.remember_checks(v_run);

  with counted as (
    select sum(c.passed) as passed, sum(c.failed) as failed, sum(c.unknown) as unknown, sum(c.not_applicable) as not_applicable,
      bool_and(c.unknown = 0 and (c.complete or coalesce(c.reason in ('plan', 'off', 'paused'), false))) as is_complete,
      min(c.reason) filter (where c.reason not in ('plan', 'off', 'paused')) as first_reason
    from public.assessment_checks c where c.assessment_id = p_id
  )
  update public.assessments a
    set state = 'done', finished_at = now(), passed = c.passed, failed = c.failed, unknown = c.unknown, not_applicable = c.not_applicable,
      outcome = case when p_reason is null and c.is_complete and not v_claim.is_full then 'complete' else 'incomplete' end,
      reason = case
        when p_reason is not null then p_reason
        when v_claim.is_full then 'truncated'
        when not c.is_complete then coalesce(c.first_reason, 'truncated')
      end,
      muted = case when exists (
        select from public.finding_mutes m where m.organization_id = v_row.organization_id and m.ended_at is null
      ) then (
        select count(*) from public.finding_list l where l.integration_id = v_row.id and l.state = 'open' and l.muted
      ) else 0 end
    from counted c
    where a.id = p_id
    returning a.* into v_run;
  delete from private.scan_claims c where c.assessment_id = p_id;
  return jsonb_build_object('outcome', 'finished') || private.shown_run(v_run);
end
$$;

comment on function public.finish_scan_run(uuid, uuid, bigint, text, jsonb, jsonb, integer, text) is
  'Ends a claimed run: compares what it saw with what was known, in one transaction. p_checks: [{check_id, check_version, '
  'incomplete?, was?, clock?}], every check of the type, of which a part was not checked for the reason incomplete; was: its former '
  'ids; clock: it compares with the time. p_results: up to 5,000 results that were not saved yet. p_reason: why the scan ended before '
  'its end. Returns finished with the run and its counts, also when repeated; changed (another scanner has it, it ended, or the '
  'integration has another account), or gone.';

create function private.shown_run(p_run public.assessments) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'id', p_run.id, 'state', p_run.state, 'result', p_run.outcome, 'reason', p_run.reason, 'baseline', p_run.baseline,
    'requests', p_run.requests, 'passed', p_run.passed, 'failed', p_run.failed, 'unknown', p_run.unknown,
    'not_applicable', p_run.not_applicable, 'muted', p_run.muted, 'opened', p_run.opened, 'reopened', p_run.reopened,
    'resolved', p_run.resolved, 'unverified', p_run.unverified
  );
$$;

comment on function private.shown_run(assessments) is
  'A run and its counts; result is its outcome.';

create function private.rename_checks(p_organization_id uuid, p_checks jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set enable_nestloop = on as $$
declare
  v_check record;
begin
  if not p_checks @? '$[*].was[*]' then
    return;
  end if;
  -- The findings of other integrations are renamed too, because a mute of the whole organization covers all of them. One at a time, so that
  -- two runs do not deadlock.
  perform pg_advisory_xact_lock(hashtextextended('checks of ' || p_organization_id, 0));
  for v_check in
    select c.check_id, w.id as was
    from jsonb_to_recordset(p_checks) as c (check_id text, was jsonb)
    cross join lateral (
      select e.id from jsonb_array_elements_text(case jsonb_typeof(c.was) when 'array' then c.was else '[]' end) e (id) limit 20
    ) w
  loop
    update public.findings f
      set check_id = v_check.check_id,
        identity = private.finding_identity(f.account_id, v_check.check_id, f.resource_type, f.resource_id, f.item)
      where f.organization_id = p_organization_id and f.check_id = v_check.was
        and not exists (
          select from public.findings o
          where o.integration_id = f.integration_id
            and o.identity = private.finding_identity(f.account_id, v_check.check_id, f.resource_type, f.resource_id, f.item)
        );
    update public.finding_mutes m set check_id = v_check.check_id
      where m.organization_id = p_organization_id and m.check_id = v_check.was and m.ended_at is null;
    update private.check_states s set check_id = v_check.check_id
      where s.integration_id = any (array(select i.id from public.integrations i where i.organization_id = p_organization_id))
        and s.check_id = v_check.was
        and not exists (
          select from private.check_states o where o.integration_id = s.integration_id and o.check_id = v_check.check_id
        );
  end loop;
end
$$;

comment on function private.rename_checks(uuid, jsonb) is
  'Gives an organization''s findings and mutes the present ids of their checks, so that a renamed check neither opens nor ends one.';

create function private.cover_checks(p_run public.assessments, p_claim private.scan_claims, p_checks jsonb) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  with given as (
    select c.check_id, c.check_version, c.incomplete from jsonb_to_recordset(p_checks) as c (check_id text, check_version integer, incomplete text)
  ), counted as (
    select r.check_id,
      count(*) filter (where r.status = 'pass') as passed, count(*) filter (where r.status = 'fail') as failed,
      count(*) filter (where r.status = 'unknown') as unknown, count(*) filter (where r.status = 'not_applicable') as not_applicable,
      count(*) filter (where r.status = 'manual') as manual,
      min(r.reason) filter (where r.status = 'unknown') as unknown_reason,
      min(r.reason) filter (where r.status = 'not_applicable') as not_applicable_reason
    from private.scan_results r where r.assessment_id = p_run.id group by r.check_id
  ), needed as (
    select r.check_id, array_agg(distinct n.scope order by n.scope) as scopes
    from private.scan_results r cross join unnest(r.needs) n (scope)
    where r.assessment_id = p_run.id and r.needs <> '{}' group by r.check_id
  ), judged as (
    select g.*, coalesce(c.passed, 0) as passed, coalesce(c.failed, 0) as failed, coalesce(c.unknown, 0) as unknown,
      coalesce(c.not_applicable, 0) as not_applicable, c.unknown_reason, c.not_applicable_reason,
      g.incomplete is null and coalesce(c.unknown, 0) = 0 and not p_claim.is_full as complete,
      case
        when c.failed > 0 then 'fail'
        when c.unknown > 0 or coalesce(g.incomplete not in ('plan', 'off', 'paused'), p_claim.is_full) then 'unknown'
        when c.manual > 0 then 'manual'
        when coalesce(c.passed, 0) = 0 and (c.not_applicable > 0 or g.incomplete is not null) then 'not_applicable'
        else 'pass'
      end as status
    from given g left join counted c on c.check_id = g.check_id
  )
  insert into public.assessment_checks (
    assessment_id, organization_id, check_id, check_version, status, reason, needs, complete, passed, failed, unknown, not_applicable
  )
    select p_run.id, p_run.organization_id, j.check_id, j.check_version, j.status,
      case
        when j.status in ('unknown', 'fail') then
          coalesce(j.unknown_reason, j.incomplete, case when p_claim.is_full then 'truncated' end)
        when j.status = 'not_applicable' then coalesce(j.not_applicable_reason, j.incomplete)
        else j.incomplete
      end,
      coalesce(n.scopes[1:20], '{}'),
      j.complete, j.passed, j.failed, j.unknown, j.not_applicable
    from judged j left join needed n on n.check_id = j.check_id;
$$;

comment on function private.cover_checks(assessments, private.scan_claims, jsonb) is
  'Writes what each check saw: fail if one fails, otherwise unknown if one is or a part was not checked, otherwise what the others '
  'are. It is complete, so that absent resources count as gone, only if nothing was left out and nothing is unknown: an unknown result may be a '
  'resource whose id the response did not contain.';

create function private.compare_findings(p_run public.assessments, p_checks jsonb) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  c_permission constant text[] := '{forbidden,hidden,no_scope,unauthorized}';
  v_clock text[] := array(
    select k.check_id from jsonb_to_recordset(p_checks) as k (check_id text, clock boolean) where k.clock
  );
begin
  with compared as (
    select f.id, f.unverified_since, r.status, r.check_version, r.resource_name, r.severity, r.evidence, f.check_id,
      case
        when f.state <> 'open' then 'reopened'
        when r.status = 'fail' and f.unverified_since is not null then 'verified'
        when r.status = 'fail' and f.severity <> r.severity then 'severity_changed'
        when r.status = 'fail' then 'seen'
        when r.status = 'pass' then 'resolved'
        when r.status is not null then 'unverified'
        when c.check_id is null then 'archived'
        when c.complete then 'resolved'
        else 'unverified'
      end as action,
      case
        when r.status = 'pass' then 'passed'
        when r.status is null and c.check_id is null then 'check_removed'
        when r.status is null and c.complete then 'gone'
      end as ended_as,
      case when r.status <> 'fail' then coalesce(r.reason, r.status) when r.status is null then coalesce(c.reason, 'absent') end as unseen
    from public.findings f
    left join private.scan_results r on r.assessment_id = p_run.id and r.identity = f.identity
    left join public.assessment_checks c on c.assessment_id = p_run.id and c.check_id = f.check_id
    where f.integration_id = p_run.integration_id and (f.state = 'open' or r.status = 'fail')
  ), updated as (
    update public.findings f
      set state = case k.action when 'resolved' then 'resolved' when 'archived' then 'archived' else 'open' end,
        ended_as = k.ended_as,
        ended_at = case when k.action in ('resolved', 'archived') then now() end,
        unverified_since = case when k.action = 'unverified' then coalesce(f.unverified_since, now()) end,
        unverified_reason = case when k.action = 'unverified' then k.unseen end,
        opened_at = case when k.action = 'reopened' then now() else f.opened_at end,
        reopened = f.reopened + (k.action = 'reopened')::integer,
        check_version = coalesce(k.check_version, f.check_version),
        resource_name = coalesce(k.resource_name, f.resource_name),
        severity = case k.status when 'fail' then k.severity else f.severity end,
        evidence = case k.status when 'fail' then k.evidence else f.evidence end
      from compared k
      where f.integration_id = p_run.integration_id and f.id = k.id and (
        k.action not in ('seen', 'unverified')
        or (k.action = 'unverified' and f.unverified_reason is distinct from k.unseen)
        or (k.action = 'seen' and (f.evidence, f.check_version, f.resource_name)
          is distinct from (k.evidence, k.check_version, coalesce(k.resource_name, f.resource_name)))
      )
      returning f.id, f.check_id, f.resource_id, f.item, f.sort_key, k.action, k.ended_as, k.unseen, k.unverified_since
  ), inserted as (
    -- The id begins as the identity does. So one order suits both indexes, the lists' and that of the events, and each insert is near the last.
    insert into public.findings as f (
      id, organization_id, integration_id, integration_type, account_id, identity, check_id, check_version, resource_type, resource_id,
      resource_name, item, severity, evidence
    )
      select (encode(substr(r.identity, 1, 6), 'hex') || substr(gen_random_uuid()::text, 14))::uuid, p_run.organization_id,
        p_run.integration_id, p_run.integration_type, p_run.account_id, r.identity, r.check_id, r.check_version, r.resource_type,
        r.resource_id, r.resource_name, r.item, r.severity, r.evidence
      from private.scan_results r
      where r.assessment_id = p_run.id and r.status = 'fail' and not exists (
        select from public.findings o where o.integration_id = p_run.integration_id and o.identity = r.identity
      )
      order by array_position('{critical,high,medium,low,info}', r.severity), 1
      returning f.id, f.check_id, f.resource_id, f.item, f.sort_key
  ), changes as (
    -- A finding that stays unverified gets one event, the first time.
    select u.id, u.check_id, u.resource_id, u.item, u.sort_key, u.action,
      coalesce(u.ended_as, case when u.action = 'unverified' then u.unseen end) as reason
      from updated u
      where u.action <> 'seen' and (u.action <> 'unverified' or u.unverified_since is null)
    union all
    select i.id, i.check_id, i.resource_id, i.item, i.sort_key, 'opened', null from inserted i
  ), checks as materialized (
    select a.check_id,
      case
        when p_run.baseline then null
        when s.check_id is null or s.check_version <> a.check_version then 'check'
        when s.reason = any (c_permission) then 'permission'
        when a.check_id = any (v_clock) then 'time'
        else 'configuration'
      end as cause,
      -- Announced are changes that the same check sees after it has seen something before.
      not p_run.baseline and s.seen_at is not null and s.check_version = a.check_version as is_news
    from public.assessment_checks a
    left join private.check_states s on s.integration_id = p_run.integration_id and s.check_id = a.check_id
    where a.assessment_id = p_run.id
  ), announced as (
    select h.id from changes h join checks k on k.check_id = h.check_id
    where k.is_news and h.action in ('opened', 'reopened', 'resolved') and not exists (
      select from public.finding_mutes m
      where m.organization_id = p_run.organization_id and m.check_id = h.check_id and m.ended_at is null and m.expires_at > now()
        and (m.integration_id is null or m.integration_id = p_run.integration_id)
        and (m.resource_id is null or m.resource_id = h.resource_id)
        and (m.item is null or m.item = h.item)
    )
    order by h.sort_key
    limit 100
  ), written as (
    insert into public.finding_events (finding_id, organization_id, assessment_id, action, cause, reason, announced)
      select h.id, p_run.organization_id, p_run.id, h.action,
        case h.action
          when 'archived' then 'check'
          when 'unverified' then case when h.reason = any (c_permission) then 'permission' end
          else k.cause
        end,
        h.reason, h.id in (select n.id from announced n)
      from changes h left join checks k on k.check_id = h.check_id
      order by h.sort_key
      returning action
  )
  update public.assessments a
    set opened = c.opened, reopened = c.reopened, resolved = c.resolved, unverified = c.unverified
    from (
      select count(*) filter (where w.action = 'opened') as opened, count(*) filter (where w.action = 'reopened') as reopened,
        count(*) filter (where w.action = 'resolved') as resolved, count(*) filter (where w.action = 'unverified') as unverified
      from written w
    ) c
    where a.id = p_run.id;
end
$$;

comment on function private.compare_findings(assessments, jsonb) is
  'Compares the results of a run with the findings of its integration, and writes an event for each change. A failure opens or '
  'reopens. A pass of the same resource resolves, as does its absence where the check is complete. What could not be checked stays '
  'open and is unverified. Findings of a removed check are archived. Announced are the 100 most severe changes that are not muted and that '
  'the same check saw after it had seen something before.';

create function private.remember_checks(p_run public.assessments) returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  delete from private.check_states s
    where s.integration_id = p_run.integration_id and (
      s.account_id is distinct from p_run.account_id
      or not exists (select from public.assessment_checks c where c.assessment_id = p_run.id and c.check_id = s.check_id)
    );
  insert into private.check_states as s (integration_id, account_id, check_id, check_version, reason, seen_at)
    select p_run.integration_id, p_run.account_id, c.check_id, c.check_version, case when c.status in ('unknown', 'fail') then c.reason end,
      case when c.complete or c.passed + c.failed + c.not_applicable > 0 then now() end
    from public.assessment_checks c where c.assessment_id = p_run.id
    on conflict (integration_id, check_id) do update
      set check_version = excluded.check_version, reason = excluded.reason, seen_at = coalesce(s.seen_at, excluded.seen_at);
$$;

comment on function private.remember_checks(assessments) is
  'Stores the state of each check after a run, for the next one.';

create function private.end_runs_of_deleted() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_id uuid;
begin
  perform private.archive_findings(old.id, null, null, 'disconnected');
  select a.id into v_id from public.assessments a where a.integration_id = old.id and a.state <> 'done';
  if found then
    perform from private.scan_claims c where c.assessment_id = v_id for update;
    perform private.end_run(v_id, 'incomplete', 'disconnected');
  end if;
  return null;
end
$$;

comment on function private.end_runs_of_deleted() is
  'Ends the open run of an integration that is deleted, and archives its open findings, for every writer that deletes it.';

create trigger end_runs
  after delete on public.integrations
  for each row
  execute function private.end_runs_of_deleted();

create function private.finding_data(p_finding public.findings, p_assessment_id uuid, p_cause text) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'organization_id', p_finding.organization_id,
    'integration_id', p_finding.integration_id,
    'integration_type', left(p_finding.integration_type, 64),
    'name', (select left(i.name, 200) from public.integrations i where i.id = p_finding.integration_id),
    'finding_id', p_finding.id,
    'assessment_id', p_assessment_id,
    'check_id', p_finding.check_id,
    'severity', p_finding.severity,
    'state', p_finding.state,
    'resource', jsonb_build_object(
      'type', left(p_finding.resource_type, 64), 'id', left(p_finding.resource_id, 200), 'name', left(p_finding.resource_name, 100)
    ),
    'item', left(p_finding.item, 200),
    'cause', p_cause
  );
$$;

comment on function private.finding_data(findings, uuid, text) is
  'A webhook event''s data about a finding, of bounded size. The evidence is read from the API.';

create function private.announce_finding() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_finding public.findings;
begin
  select * into v_finding from public.findings f where f.id = new.finding_id;
  perform private.enqueue_event(
    new.organization_id, v_finding.integration_id, 'finding.' || new.action,
    private.finding_data(v_finding, new.assessment_id, new.cause), v_finding.severity
  );
  return null;
end
$$;

comment on function private.announce_finding() is
  'Announces that a finding was opened, reopened or resolved.';

create trigger announce_finding
  after insert on public.finding_events
  for each row
  when (new.announced and new.action in ('opened', 'reopened', 'resolved'))
  execute function private.announce_finding();

create function private.announce_assessment() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
begin
  select * into v_row from public.integrations i where i.id = new.integration_id;
  perform private.enqueue_event(
    new.organization_id, new.integration_id,
    case new.outcome when 'complete' then 'assessment.completed' else 'assessment.incomplete' end,
    private.shown_run(new) - array['id', 'state'] || jsonb_build_object(
      'organization_id', new.organization_id, 'integration_id', new.integration_id, 'integration_type', left(new.integration_type, 64),
      'name', left(v_row.name, 200), 'assessment_id', new.id, 'trigger', new.trigger
    )
  );
  return null;
end
$$;

comment on function private.announce_assessment() is
  'Announces the end of a run. A run that did not run is not announced: the connection''s own events report the cause.';

create trigger announce_assessment
  after update of state on public.assessments
  for each row
  when (new.state = 'done' and old.state <> 'done' and new.outcome <> 'not_run')
  execute function private.announce_assessment();

create function private.announce_mute_end() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_finding public.findings;
begin
  for v_finding in
    select f.* from public.findings f join public.finding_list l on l.id = f.id
    where f.organization_id = new.organization_id and f.check_id = new.check_id and f.state = 'open'
      and (new.integration_id is null or f.integration_id = new.integration_id)
      and (new.resource_id is null or f.resource_id = new.resource_id)
      and (new.item is null or f.item = new.item)
      and not l.muted
    order by f.sort_key
    limit 100
  loop
    perform private.enqueue_event(
      v_finding.organization_id, v_finding.integration_id, 'finding.mute_ended',
      private.finding_data(v_finding, null, case when new.ended_by is null then 'time' else 'user' end), v_finding.severity
    );
  end loop;
  return null;
end
$$;

comment on function private.announce_mute_end() is
  'Announces the open findings that no mute covers any more; the 100 most severe.';

create trigger announce_mute_end
  after update of ended_at on public.finding_mutes
  for each row
  when (new.ended_at is not null and old.ended_at is null)
  execute function private.announce_mute_end();

create function public.mute_findings(p_user_id uuid, p_organization_id uuid, p_mute jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_mute public.finding_mutes;
  v_expires_at timestamptz;
begin
  if jsonb_typeof(p_mute) is distinct from 'object'
    or p_mute - array['check_id', 'integration_id', 'resource_id', 'item', 'reason', 'note', 'expires_at'] <> '{}'
  then
    raise exception 'p_mute holds something else' using
      errcode = 'invalid_parameter_value',
      hint = 'check_id, reason, note and expires_at, and as it is wished integration_id, resource_id, item';
  end if;
  -- Concurrent calls of an organization queue here. If they counted at the same time, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('mutes ' || p_organization_id, 0));
  if not private.lock_admin(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if p_mute->>'integration_id' is not null and not exists (
    select from public.integrations i
    where i.id = (p_mute->>'integration_id')::uuid and i.organization_id = p_organization_id
  ) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  v_expires_at := (p_mute->>'expires_at')::timestamptz;
  if v_expires_at <= now() or v_expires_at > now() + interval '1 year' then
    return jsonb_build_object('outcome', 'bad_end');
  end if;
  if (select count(*) from public.finding_mutes m where m.organization_id = p_organization_id and m.ended_at is null) >= 1000 then
    return jsonb_build_object('outcome', 'too_many');
  end if;
  insert into public.finding_mutes (organization_id, integration_id, check_id, resource_id, item, reason, note, created_by, expires_at)
    values (
      p_organization_id, (p_mute->>'integration_id')::uuid, p_mute->>'check_id', p_mute->>'resource_id', p_mute->>'item', p_mute->>'reason',
      p_mute->>'note', p_user_id, v_expires_at
    )
    returning * into v_mute;
  return jsonb_build_object('outcome', 'muted', 'mute', to_jsonb(v_mute));
end
$$;

comment on function public.mute_findings(uuid, uuid, jsonb) is
  'Mutes the findings of a check: all of an organization, of an integration, of a resource, or one item. p_mute: {check_id, reason, '
  'note, expires_at, integration_id?, resource_id?, item?}; expires_at is within a year. Returns muted with the mute, not_a_member, '
  'unknown (the integration is not the organization''s), bad_end (expires_at is not after now, or more than a year), or too_many '
  '(1,000 at a time).';

create function public.end_mute(p_id uuid, p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_organization_id uuid;
begin
  select m.organization_id into v_organization_id from public.finding_mutes m where m.id = p_id;
  if not found or not private.lock_admin(p_user_id, v_organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  update public.finding_mutes m set ended_at = now(), ended_by = p_user_id
    where m.id = p_id and m.organization_id = v_organization_id and m.ended_at is null;
  return jsonb_build_object('outcome', 'ended');
end
$$;

comment on function public.end_mute(uuid, uuid) is
  'Ends a mute early. Returns ended, also of one that had ended, or unknown.';

create function private.clean_up_assessments(p_days integer) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_due record;
  v_count integer := 0;
  v_more boolean := false;
begin
  for v_due in
    select a.id from public.assessments a
    join public.integrations i on i.id = a.integration_id
    where a.state <> 'done' and a.queued_at <= now() - interval '1 day'
    order by i.id
    limit 100
    for no key update of i skip locked
  loop
    perform from private.scan_claims c where c.assessment_id = v_due.id for update;
    perform private.end_run(v_due.id, 'incomplete', 'timed_out');
    v_count := v_count + 1;
  end loop;
  v_more := v_count = 100;

  update public.finding_mutes m set ended_at = m.expires_at
    where m.id = any (array(
      select e.id from public.finding_mutes e
      where e.ended_at is null and e.expires_at <= now() order by e.expires_at limit 100 for update skip locked
    ));
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 100;

  delete from public.assessments a
    where a.id = any (array(
      select o.id from public.assessments o
      where o.queued_at < now() - make_interval(days => p_days) and o.state = 'done' order by o.queued_at limit 500
    ));
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 500;

  delete from public.findings f
    where f.id = any (array(
      select o.id from public.findings o
      where o.state <> 'open' and o.ended_at < now() - make_interval(days => p_days) order by o.ended_at limit 1000 for update skip locked
    ));
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 1000;

  delete from public.finding_mutes m
    where m.id = any (array(
      select o.id from public.finding_mutes o
      where o.ended_at is not null and o.ended_at < now() - make_interval(days => p_days) order by o.ended_at limit 500
    ));
  get diagnostics v_count = row_count;
  v_more := v_more or v_count = 500;

  perform set_config('integrations.deletes_old_events', 'on', true);
  delete from public.finding_events e
    where e.id = any (array(
      select o.id from (select n.id, n.occurred_at from public.finding_events n order by n.id limit 5000) o
      where o.occurred_at < now() - make_interval(days => p_days)
    ));
  get diagnostics v_count = row_count;
  perform set_config('integrations.deletes_old_events', 'off', true);
  return v_more or v_count = 5000;
end
$$;

comment on function private.clean_up_assessments(integer) is
  'Ends runs that have not ended within a day and mutes whose time is over, and deletes runs, ended findings, ended mutes and '
  'findings'' events older than p_days days; a bounded number of each. Returns whether there may be more.';

revoke all on function
  private.finding_identity(text, text, text, text, text),
  private.open_run(integrations, text, timestamp with time zone, uuid),
  private.trim_runs(uuid),
  private.mark_unverified(uuid, uuid, text),
  private.archive_findings(uuid, text, uuid, text),
  private.end_run(uuid, text, text),
  private.record_not_run(integrations, timestamp with time zone, text),
  private.settle_slot(integrations, timestamp with time zone),
  private.due_scans(integer, text[]),
  private.is_usable(integrations, integer),
  private.lock_run(uuid, uuid, bigint),
  private.stage_results(uuid, text, jsonb),
  private.shown_run(assessments),
  private.rename_checks(uuid, jsonb),
  private.cover_checks(assessments, private.scan_claims, jsonb),
  private.compare_findings(assessments, jsonb),
  private.remember_checks(assessments),
  private.end_runs_of_deleted(),
  private.finding_data(findings, uuid, text),
  private.announce_finding(),
  private.announce_assessment(),
  private.announce_mute_end(),
  private.clean_up_assessments(integer),
  public.request_scan(uuid, uuid, text[]),
  public.claim_scan_runs(uuid, integer, text[], integer, text),
  public.reopen_scan_credential(uuid, uuid, bigint, integer, text),
  public.save_scan_position(uuid, uuid, bigint, text, text, jsonb, integer, timestamp with time zone, boolean, integer),
  public.release_scan_run(uuid, uuid, bigint, integer),
  public.finish_scan_run(uuid, uuid, bigint, text, jsonb, jsonb, integer, text),
  public.mute_findings(uuid, uuid, jsonb),
  public.end_mute(uuid, uuid)
from public, anon, authenticated, service_role;
grant execute on function
  public.request_scan(uuid, uuid, text[]),
  public.claim_scan_runs(uuid, integer, text[], integer, text),
  public.reopen_scan_credential(uuid, uuid, bigint, integer, text),
  public.save_scan_position(uuid, uuid, bigint, text, text, jsonb, integer, timestamp with time zone, boolean, integer),
  public.release_scan_run(uuid, uuid, bigint, integer),
  public.finish_scan_run(uuid, uuid, bigint, text, jsonb, jsonb, integer, text),
  public.mute_findings(uuid, uuid, jsonb),
  public.end_mute(uuid, uuid)
to service_role;
