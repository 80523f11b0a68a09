-- What the migrations make of a project, for readers: made by tests/database/schema.mjs, compared by a test, applied by nobody.

create table private.check_claims (
  integration_id uuid not null,
  until timestamp with time zone not null,
  constraint check_claims_pkey PRIMARY KEY (integration_id),
  constraint check_claims_integration_id_fkey FOREIGN KEY (integration_id) REFERENCES integrations(id) ON DELETE CASCADE
);
alter table private.check_claims enable row level security;

create table private.check_states (
  integration_id uuid not null,
  check_id text not null,
  account_id text,
  check_version integer not null,
  reason text,
  seen_at timestamp with time zone,
  constraint check_states_pkey PRIMARY KEY (integration_id, check_id),
  constraint check_states_integration_id_fkey FOREIGN KEY (integration_id) REFERENCES integrations(id) ON DELETE CASCADE
);
alter table private.check_states enable row level security;

create table private.connect_sessions (
  id uuid not null,
  token_hash text not null,
  binding_hash text,
  code_hash text,
  code_challenge text not null,
  created_by uuid not null,
  completed_by uuid,
  organization_id uuid not null,
  external_user_id text not null,
  external_user_name text,
  integration_types text[] not null,
  reconnects uuid,
  return_url text not null,
  return_state text,
  scopes jsonb default '{}'::jsonb not null,
  oauth_apps jsonb default '{}'::jsonb not null,
  metadata jsonb default '{}'::jsonb not null,
  tags text[],
  state text default 'pending'::text not null,
  is_used boolean default false not null,
  pending_id uuid,
  wrong_completions smallint default 0 not null,
  failure text,
  integration_id uuid,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone default (now() + '00:10:00'::interval) not null,
  constraint connect_sessions_token_hash_key UNIQUE (token_hash),
  constraint connect_sessions_pkey PRIMARY KEY (id),
  constraint connect_sessions_binding_hash_check CHECK ((binding_hash ~ '^[0-9a-f]{64}$'::text)),
  constraint connect_sessions_check CHECK (((state = ANY (ARRAY['waiting_for_completion'::text, 'completed'::text])) OR (code_hash IS NULL))),
  constraint connect_sessions_code_challenge_check CHECK ((code_challenge ~ '^[A-Za-z0-9_-]{43}$'::text)),
  constraint connect_sessions_code_hash_check CHECK ((code_hash ~ '^[0-9a-f]{64}$'::text)),
  constraint connect_sessions_external_user_id_check CHECK (((char_length(external_user_id) >= 1) AND (char_length(external_user_id) <= 200))),
  constraint connect_sessions_external_user_name_check CHECK (((char_length(external_user_name) >= 1) AND (char_length(external_user_name) <= 200))),
  constraint connect_sessions_failure_check CHECK (((char_length(failure) >= 1) AND (char_length(failure) <= 64))),
  constraint connect_sessions_integration_types_check CHECK (((cardinality(integration_types) >= 1) AND (cardinality(integration_types) <= 100))),
  constraint connect_sessions_metadata_check CHECK (((jsonb_typeof(metadata) = 'object'::text) AND (octet_length((metadata)::text) <= 4096))),
  constraint connect_sessions_oauth_apps_check CHECK (((jsonb_typeof(oauth_apps) = 'object'::text) AND (octet_length((oauth_apps)::text) <= 16384))),
  constraint connect_sessions_return_state_check CHECK (((char_length(return_state) >= 1) AND (char_length(return_state) <= 512))),
  constraint connect_sessions_return_url_check CHECK (((char_length(return_url) >= 1) AND (char_length(return_url) <= 2048))),
  constraint connect_sessions_scopes_check CHECK (((jsonb_typeof(scopes) = 'object'::text) AND (octet_length((scopes)::text) <= 8192))),
  constraint connect_sessions_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'opened'::text, 'waiting_for_completion'::text, 'completed'::text, 'failed'::text]))),
  constraint connect_sessions_tags_check CHECK (((cardinality(tags) <= 20) AND (array_position(tags, NULL::text) IS NULL) AND (''::text <> ALL (tags)) AND (array_to_string(tags, '
'::text) !~ '[^\n]{65}'::text))),
  constraint connect_sessions_token_hash_check CHECK ((token_hash ~ '^[0-9a-f]{64}$'::text))
);
CREATE INDEX connect_sessions_created_by ON private.connect_sessions USING btree (created_by) WHERE (state = ANY (ARRAY['pending'::text, 'opened'::text, 'waiting_for_completion'::text]));
CREATE INDEX connect_sessions_expires_at ON private.connect_sessions USING btree (expires_at);
CREATE INDEX connect_sessions_organization ON private.connect_sessions USING btree (organization_id) WHERE (state = ANY (ARRAY['pending'::text, 'opened'::text, 'waiting_for_completion'::text]));
alter table private.connect_sessions enable row level security;

create table private.data_keys (
  organization_id uuid not null,
  kid text not null,
  wrapping_kid text not null,
  wrapped text not null,
  created_at timestamp with time zone default now() not null,
  rewrapped_at timestamp with time zone,
  replaced_at timestamp with time zone,
  constraint data_keys_pkey PRIMARY KEY (organization_id, kid),
  constraint data_keys_kid_check CHECK ((kid ~ '^[0-9a-f]{16}$'::text)),
  constraint data_keys_wrapped_check CHECK (((char_length(wrapped) >= 1) AND (char_length(wrapped) <= 4096))),
  constraint data_keys_wrapping_kid_check CHECK ((wrapping_kid ~ '^[0-9a-f]{16}$'::text))
);
CREATE UNIQUE INDEX data_keys_current ON private.data_keys USING btree (organization_id) WHERE (replaced_at IS NULL);
alter table private.data_keys enable row level security;
CREATE TRIGGER refuse_fenced_wrapping BEFORE INSERT OR UPDATE OF wrapping_kid ON private.data_keys FOR EACH ROW EXECUTE FUNCTION private.refuse_fenced_wrapping();

create table private.ended_connections (
  id uuid not null,
  ended_at timestamp with time zone default now() not null,
  constraint ended_connections_pkey PRIMARY KEY (id)
);
CREATE INDEX ended_connections_ended_at ON private.ended_connections USING btree (ended_at);
alter table private.ended_connections enable row level security;

create table private.fence (
  single boolean default true not null,
  id uuid,
  declared_at timestamp with time zone,
  constraint fence_pkey PRIMARY KEY (single),
  constraint fence_check CHECK (((id IS NULL) = (declared_at IS NULL))),
  constraint fence_single_check CHECK (single)
);
alter table private.fence enable row level security;

create table private.forbidden_checks (
  integration_id uuid not null,
  since timestamp with time zone default now() not null,
  constraint forbidden_checks_pkey PRIMARY KEY (integration_id),
  constraint forbidden_checks_integration_id_fkey FOREIGN KEY (integration_id) REFERENCES integrations(id) ON DELETE CASCADE
);
alter table private.forbidden_checks enable row level security;

create table private.integration_pauses (
  integration_id uuid not null,
  endpoint text not null,
  organization_id uuid not null,
  client text not null,
  noted_at timestamp with time zone default now() not null,
  until timestamp with time zone not null,
  constraint integration_pauses_pkey PRIMARY KEY (integration_id, endpoint),
  constraint integration_pauses_integration_id_fkey FOREIGN KEY (integration_id) REFERENCES integrations(id) ON DELETE CASCADE,
  constraint integration_pauses_client_check CHECK (((char_length(client) >= 1) AND (char_length(client) <= 64))),
  constraint integration_pauses_endpoint_check CHECK ((endpoint = ANY (ARRAY['token'::text, 'api'::text])))
);
CREATE INDEX integration_pauses_noted_at ON private.integration_pauses USING btree (client, endpoint, noted_at);
alter table private.integration_pauses enable row level security;

create table private.oauth_apps (
  id uuid not null,
  organization_id uuid not null,
  integration_type text not null,
  name text not null,
  client_id text not null,
  slug text,
  config jsonb not null,
  created_at timestamp with time zone default now() not null,
  updated_at timestamp with time zone default now() not null,
  constraint oauth_apps_client UNIQUE (organization_id, integration_type, client_id),
  constraint oauth_apps_place UNIQUE (organization_id, integration_type, id),
  constraint oauth_apps_pkey PRIMARY KEY (id),
  constraint oauth_apps_client_id_check CHECK (((char_length(client_id) >= 1) AND (char_length(client_id) <= 512))),
  constraint oauth_apps_config_check CHECK (((jsonb_typeof(config) = 'object'::text) AND (octet_length((config)::text) <= 16384))),
  constraint oauth_apps_integration_type_check CHECK (((char_length(integration_type) >= 1) AND (char_length(integration_type) <= 64))),
  constraint oauth_apps_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
  constraint oauth_apps_slug_check CHECK ((slug ~ '^[A-Za-z0-9_-]{1,100}$'::text))
);
alter table private.oauth_apps enable row level security;
CREATE TRIGGER refuse_changed_data_key BEFORE UPDATE OF config ON private.oauth_apps FOR EACH ROW WHEN (((((new.config -> '_enc'::text) -> 'v'::text) = '3'::jsonb) AND (old.config IS DISTINCT FROM new.config))) EXECUTE FUNCTION private.refuse_missing_data_key();
CREATE TRIGGER refuse_fenced_change BEFORE UPDATE OF config ON private.oauth_apps FOR EACH ROW WHEN (((old.config -> '_enc'::text) IS DISTINCT FROM (new.config -> '_enc'::text))) EXECUTE FUNCTION private.refuse_fenced_key();
CREATE TRIGGER refuse_fenced_key BEFORE INSERT ON private.oauth_apps FOR EACH ROW EXECUTE FUNCTION private.refuse_fenced_key();
CREATE TRIGGER refuse_missing_data_key BEFORE INSERT ON private.oauth_apps FOR EACH ROW WHEN ((((new.config -> '_enc'::text) -> 'v'::text) = '3'::jsonb)) EXECUTE FUNCTION private.refuse_missing_data_key();

create table private.pending_reseals (
  integration_id uuid not null,
  constraint pending_reseals_pkey PRIMARY KEY (integration_id)
);
alter table private.pending_reseals enable row level security;

create table private.pending_revocations (
  id uuid default gen_random_uuid() not null,
  organization_id uuid not null,
  sealed_for uuid not null,
  integration_type text not null,
  external_account_id text,
  user_id uuid,
  external_user_id text,
  config jsonb not null,
  reason text not null,
  attempts integer default 0 not null,
  next_attempt_at timestamp with time zone default now() not null,
  owner uuid,
  leased_until timestamp with time zone,
  give_up_at timestamp with time zone default (now() + '1 day'::interval) not null,
  refresh_generation bigint,
  created_at timestamp with time zone default now() not null,
  oauth_app_id uuid,
  constraint pending_revocations_pkey PRIMARY KEY (id),
  constraint pending_revocations_organization_id_integration_type_oauth_fkey FOREIGN KEY (organization_id, integration_type, oauth_app_id) REFERENCES private.oauth_apps(organization_id, integration_type, id),
  constraint pending_revocations_check CHECK (((owner IS NULL) = (leased_until IS NULL))),
  constraint pending_revocations_reason_check CHECK ((reason = ANY (ARRAY['abandoned'::text, 'expired'::text, 'discarded'::text, 'disconnected'::text, 'replaced'::text, 'late'::text])))
);
CREATE INDEX pending_revocations_due ON private.pending_revocations USING btree (next_attempt_at);
CREATE INDEX pending_revocations_oauth_app_id ON private.pending_revocations USING btree (oauth_app_id) WHERE (oauth_app_id IS NOT NULL);
CREATE INDEX pending_revocations_organization ON private.pending_revocations USING btree (organization_id, next_attempt_at);
alter table private.pending_revocations enable row level security;

create table private.provider_pauses (
  client text not null,
  endpoint text not null,
  until timestamp with time zone not null,
  constraint provider_pauses_pkey PRIMARY KEY (client, endpoint),
  constraint provider_pauses_client_check CHECK (((char_length(client) >= 1) AND (char_length(client) <= 64))),
  constraint provider_pauses_endpoint_check CHECK ((endpoint = ANY (ARRAY['token'::text, 'api'::text])))
);
alter table private.provider_pauses enable row level security;

create table private.provider_successes (
  client text not null,
  act text not null,
  at timestamp with time zone default now() not null,
  constraint provider_successes_pkey PRIMARY KEY (client, act),
  constraint provider_successes_act_check CHECK ((act = ANY (ARRAY['refresh'::text, 'check'::text])))
);
alter table private.provider_successes enable row level security;

create table private.rate_limits (
  kind text not null,
  subject text not null,
  attempts integer not null,
  -- From then on the attempts no longer count.
  ends_at timestamp with time zone not null,
  blocked_until timestamp with time zone default '-infinity'::timestamp with time zone not null,
  constraint rate_limits_pkey PRIMARY KEY (kind, subject),
  constraint rate_limits_kind_check CHECK (((char_length(kind) >= 1) AND (char_length(kind) <= 64))),
  constraint rate_limits_subject_check CHECK (((char_length(subject) >= 1) AND (char_length(subject) <= 200)))
);
CREATE INDEX rate_limits_ends_at ON private.rate_limits USING btree (ends_at);
alter table private.rate_limits enable row level security;

create table private.rewrapped (
  id bigint generated always as identity not null,
  role text not null,
  part integer not null,
  organizations uuid[] not null,
  from_kids text[] not null,
  kids text[] not null,
  written_at timestamp with time zone default now() not null,
  constraint rewrapped_pkey PRIMARY KEY (id),
  constraint rewrapped_part_check CHECK (((part >= 0) AND (part <= 15)))
);
CREATE INDEX rewrapped_part ON private.rewrapped USING btree (part);
alter table private.rewrapped enable row level security;

create table private.scan_claims (
  assessment_id uuid not null,
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  due_at timestamp with time zone default now() not null,
  owner uuid,
  generation bigint,
  claims integer default 0 not null,
  account_id text,
  catalogue text,
  position text,
  results integer default 0 not null,
  is_full boolean default false not null,
  constraint scan_claims_pkey PRIMARY KEY (assessment_id),
  constraint scan_claims_assessment_id_fkey FOREIGN KEY (assessment_id) REFERENCES assessments(id) ON DELETE CASCADE,
  constraint scan_claims_position_check CHECK ((octet_length("position") <= 8388608))
);
CREATE INDEX scan_claims_due ON private.scan_claims USING btree (integration_type, due_at);
alter table private.scan_claims enable row level security;

create table private.scan_results (
  assessment_id uuid not null,
  identity bytea not null,
  check_id text not null,
  check_version integer not null,
  resource_type text not null,
  resource_id text not null,
  resource_name text,
  item text not null,
  status text not null,
  reason text,
  needs text[] not null,
  severity text not null,
  evidence jsonb not null,
  constraint scan_results_pkey PRIMARY KEY (assessment_id, identity),
  constraint scan_results_assessment_id_fkey FOREIGN KEY (assessment_id) REFERENCES private.scan_claims(assessment_id) ON DELETE CASCADE,
  constraint scan_results_check_id_check CHECK (((char_length(check_id) >= 1) AND (char_length(check_id) <= 100))),
  constraint scan_results_evidence_check CHECK (((jsonb_typeof(evidence) = 'object'::text) AND (octet_length((evidence)::text) <= 16384) AND (NOT (evidence @? 'strict $.*?(@.type() == "object" || @.type() == "array")'::jsonpath)))),
  constraint scan_results_item_check CHECK ((char_length(item) <= 300)),
  constraint scan_results_needs_check CHECK (((cardinality(needs) <= 20) AND (octet_length(array_to_string(needs, ' '::text)) <= 2000))),
  constraint scan_results_reason_check CHECK (((char_length(reason) >= 1) AND (char_length(reason) <= 64))),
  constraint scan_results_resource_id_check CHECK ((char_length(resource_id) <= 1000)),
  constraint scan_results_resource_name_check CHECK ((char_length(resource_name) <= 1000)),
  constraint scan_results_resource_type_check CHECK (((char_length(resource_type) >= 1) AND (char_length(resource_type) <= 300))),
  constraint scan_results_severity_check CHECK ((severity = ANY (ARRAY['critical'::text, 'high'::text, 'medium'::text, 'low'::text, 'info'::text]))),
  constraint scan_results_status_check CHECK ((status = ANY (ARRAY['pass'::text, 'not_applicable'::text, 'manual'::text, 'unknown'::text, 'fail'::text])))
);
alter table private.scan_results enable row level security;

create table private.service_keys (
  id uuid default gen_random_uuid() not null,
  organization_id uuid,
  name text not null,
  prefix text not null,
  hash text not null,
  scopes text[] not null,
  created_by uuid,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone,
  revoked_at timestamp with time zone,
  last_used_at timestamp with time zone,
  constraint service_keys_hash_key UNIQUE (hash),
  constraint service_keys_pkey PRIMARY KEY (id),
  constraint service_keys_hash_check CHECK ((hash ~ '^[0-9a-f]{64}$'::text)),
  constraint service_keys_name_check CHECK (((char_length(name) >= 1) AND (char_length(name) <= 200))),
  constraint service_keys_prefix_check CHECK (((char_length(prefix) >= 1) AND (char_length(prefix) <= 16))),
  constraint service_keys_scopes_check CHECK ((((cardinality(scopes) >= 1) AND (cardinality(scopes) <= 7)) AND (scopes <@ ARRAY['connections:read'::text, 'connections:credentials'::text, 'connections:write'::text, 'connections:import'::text, 'connect_sessions:write'::text, 'webhooks:manage'::text, 'findings:read'::text])))
);
CREATE INDEX service_keys_organization ON private.service_keys USING btree (organization_id);
alter table private.service_keys enable row level security;

create table private.webhook_events (
  id uuid default gen_random_uuid() not null,
  organization_id uuid not null,
  integration_id uuid not null,
  type text not null,
  data jsonb not null,
  occurred_at timestamp with time zone default now() not null,
  constraint webhook_events_pkey PRIMARY KEY (id),
  constraint webhook_events_data_check CHECK (((jsonb_typeof(data) = 'object'::text) AND (octet_length((data)::text) <= 8192))),
  constraint webhook_events_type_check CHECK ((type = ANY (private.webhook_types())))
);
CREATE INDEX webhook_events_occurred_at ON private.webhook_events USING btree (occurred_at);
alter table private.webhook_events enable row level security;

-- The coverage of one check in a run: the number of resources, and why not all of them.
create table public.assessment_checks (
  assessment_id uuid not null,
  organization_id uuid not null,
  check_id text not null,
  check_version integer not null,
  status text not null,
  reason text,
  needs text[] default '{}'::text[] not null,
  -- Every resource was checked with a known result. Only then does a resource that was not listed count as gone.
  complete boolean not null,
  passed integer not null,
  failed integer not null,
  unknown integer not null,
  not_applicable integer not null,
  constraint assessment_checks_pkey PRIMARY KEY (assessment_id, check_id),
  constraint assessment_checks_assessment_id_fkey FOREIGN KEY (assessment_id) REFERENCES assessments(id) ON DELETE CASCADE,
  constraint assessment_checks_check_id_check CHECK (((char_length(check_id) >= 1) AND (char_length(check_id) <= 100))),
  constraint assessment_checks_reason_check CHECK (((char_length(reason) >= 1) AND (char_length(reason) <= 64))),
  constraint assessment_checks_status_check CHECK ((status = ANY (ARRAY['pass'::text, 'fail'::text, 'unknown'::text, 'not_applicable'::text, 'manual'::text])))
);
alter table public.assessment_checks enable row level security;
create policy "Members can read their organization's assessment checks" on public.assessment_checks for select using (private.can_access_organization(organization_id));
grant select (assessment_id, organization_id, check_id, check_version, status, reason, needs, complete, passed, failed, unknown, not_applicable) on public.assessment_checks to authenticated;

-- A run of the scanner over one integration. Without foreign keys: a run outlives its integration.
create table public.assessments (
  id uuid default gen_random_uuid() not null,
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  account_id text,
  trigger text not null,
  -- The slot of the schedule that the run is for.
  slot timestamp with time zone,
  requested_by uuid,
  state text default 'queued'::text not null,
  -- complete: every check was judged. incomplete: some could not be. not_run: no request was made; the reason says why.
  outcome text,
  -- Why it is incomplete or did not run: a reason of a check, the status_reason of the integration, disconnected, account_replaced, not_checked (the health check was postponed), still_running (the slot of a run that has not ended), unreadable (the credential does not open), timed_out, scanner_failed.
  reason text,
  -- The hash of the checks that judged.
  catalogue text,
  -- The account's first run: the findings that it opens are not announced.
  baseline boolean,
  requests integer default 0 not null,
  passed integer,
  failed integer,
  unknown integer,
  not_applicable integer,
  -- The number of muted open findings at the end of the run.
  muted integer,
  opened integer,
  reopened integer,
  resolved integer,
  unverified integer,
  queued_at timestamp with time zone default now() not null,
  started_at timestamp with time zone,
  finished_at timestamp with time zone,
  -- The scanner that ended it, so that a call whose response was lost can be repeated.
  ended_by uuid,
  constraint assessments_pkey PRIMARY KEY (id),
  constraint assessments_catalogue_check CHECK (((char_length(catalogue) >= 1) AND (char_length(catalogue) <= 128))),
  constraint assessments_check CHECK ((((state = 'done'::text) = (outcome IS NOT NULL)) AND ((state = 'done'::text) = (finished_at IS NOT NULL)))),
  constraint assessments_check1 CHECK (((trigger = 'user'::text) = (requested_by IS NOT NULL))),
  constraint assessments_check2 CHECK (((outcome IS DISTINCT FROM 'not_run'::text) OR (reason IS NOT NULL))),
  constraint assessments_outcome_check CHECK ((outcome = ANY (ARRAY['complete'::text, 'incomplete'::text, 'not_run'::text]))),
  constraint assessments_reason_check CHECK (((char_length(reason) >= 1) AND (char_length(reason) <= 64))),
  constraint assessments_requests_check CHECK ((requests >= 0)),
  constraint assessments_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'running'::text, 'done'::text]))),
  constraint assessments_trigger_check CHECK ((trigger = ANY (ARRAY['schedule'::text, 'user'::text])))
);
CREATE INDEX assessments_integration ON public.assessments USING btree (integration_id, queued_at DESC, id);
CREATE INDEX assessments_organization ON public.assessments USING btree (organization_id, queued_at DESC, id);
CREATE INDEX assessments_queued_at ON public.assessments USING btree (queued_at);
CREATE UNIQUE INDEX assessments_open ON public.assessments USING btree (integration_id) WHERE (state <> 'done'::text);
alter table public.assessments enable row level security;
create policy "Members can read their organization's assessments" on public.assessments for select using (private.can_access_organization(organization_id));
CREATE TRIGGER announce_assessment AFTER UPDATE OF state ON public.assessments FOR EACH ROW WHEN (((new.state = 'done'::text) AND (old.state <> 'done'::text) AND (new.outcome <> 'not_run'::text))) EXECUTE FUNCTION private.announce_assessment();
grant select on public.assessments to service_role;
grant select (id, organization_id, integration_id, integration_type, account_id, trigger, slot, requested_by, state, outcome, reason, catalogue, baseline, requests, passed, failed, unknown, not_applicable, muted, opened, reopened, resolved, unverified, queued_at, started_at, finished_at) on public.assessments to authenticated;

-- Append-only, until clean_up deletes what is older than the retention. Without foreign keys: an event outlives its integration.
create table public.credential_events (
  id bigint generated always as identity not null,
  occurred_at timestamp with time zone default now() not null,
  user_id uuid,
  organization_id uuid not null,
  -- The integration, or the pending connection of a grant without an account. Null: all integrations of the organization.
  integration_id uuid,
  integration_type text,
  external_account_id text,
  action text not null,
  -- succeeded or failed; for a revocation also unsupported (the provider has no endpoint for it) or kept (another integration uses the grant); for a check the new status.
  outcome text not null,
  request_id text,
  -- user: a signed-in user (user_id); service: the worker itself; service_key: a program with a service key (details); keytool: an operator; scanner: the scanner itself.
  actor text default 'user'::text not null,
  -- A short code: what the credential was opened for, why a refresh or a check failed. Never a value.
  reason text,
  -- For keytool: the number of rows, the key ids from and to, and the database role. For a service key: its id (service_key) and its name; of a connection through a connect session also that (connect_session) and the end user (external_user_id).
  details jsonb,
  -- The transaction that wrote the event. Ids are assigned before the commit, so an event can appear after others with higher ids; in the order of transactions, up to the oldest that is still running, none can.
  transaction_id xid8 default pg_current_xact_id() not null,
  constraint credential_events_pkey PRIMARY KEY (id),
  constraint credential_events_action CHECK ((action = ANY (ARRAY['connected'::text, 'reconnected'::text, 'disconnected'::text, 'opened'::text, 'refreshed'::text, 'refresh_failed'::text, 'checked'::text, 'renamed'::text, 'rescheduled'::text, 'tagged'::text, 'rotated'::text, 'data_keys_deleted'::text, 'revoked'::text]))),
  constraint credential_events_actor CHECK ((actor = ANY (ARRAY['user'::text, 'service'::text, 'service_key'::text, 'keytool'::text, 'scanner'::text]))),
  constraint credential_events_details CHECK ((octet_length((details)::text) <= 4096)),
  constraint credential_events_integration CHECK ((((integration_id IS NULL) = (integration_type IS NULL)) AND ((integration_id IS NOT NULL) OR (actor = 'keytool'::text)))),
  constraint credential_events_outcome CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'failed'::text, 'unsupported'::text, 'kept'::text, 'active'::text, 'degraded'::text, 'reconnect_required'::text, 'revoked'::text]))),
  constraint credential_events_reason CHECK (((char_length(reason) >= 1) AND (char_length(reason) <= 64))),
  constraint credential_events_request_id_check CHECK ((char_length(request_id) <= 200)),
  constraint credential_events_user CHECK (((actor <> 'user'::text) OR (user_id IS NOT NULL)))
);
CREATE INDEX credential_events_connections ON public.credential_events USING btree (user_id, integration_type) WHERE (action = ANY (ARRAY['connected'::text, 'reconnected'::text]));
CREATE INDEX credential_events_integration ON public.credential_events USING btree (integration_id, id);
CREATE INDEX credential_events_organization ON public.credential_events USING btree (organization_id, transaction_id, id);
CREATE INDEX credential_events_transaction ON public.credential_events USING btree (transaction_id, id);
alter table public.credential_events enable row level security;
create policy "Members can read their organization's events" on public.credential_events for select using (private.can_access_organization(organization_id));
CREATE TRIGGER announce_event AFTER INSERT ON public.credential_events FOR EACH ROW WHEN (((new.action = ANY (ARRAY['reconnected'::text, 'refreshed'::text])) OR ((new.action = 'refresh_failed'::text) AND (new.outcome = 'failed'::text)))) EXECUTE FUNCTION private.announce_event();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.credential_events FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_change();
CREATE TRIGGER keep_young AFTER DELETE ON public.credential_events REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_young_deletions();
grant select on public.credential_events to service_role;
grant select (id, occurred_at, user_id, organization_id, integration_id, integration_type, action, outcome, request_id, actor, reason, details) on public.credential_events to authenticated;

create table public.credential_leases (
  integration_id uuid not null,
  owner uuid,
  expires_at timestamp with time zone,
  generation bigint default nextval('private.lease_generations'::regclass) not null,
  attempted_at timestamp with time zone,
  unknown_outcomes integer default 0 not null,
  refused_as text,
  refused_since timestamp with time zone,
  refusals integer default 0 not null,
  failures integer default 0 not null,
  failed_at timestamp with time zone,
  retry_at timestamp with time zone,
  settled_at timestamp with time zone,
  ended_by uuid,
  ended_as text,
  journal jsonb,
  base jsonb,
  constraint credential_leases_pkey PRIMARY KEY (integration_id),
  constraint credential_leases_integration_id_fkey FOREIGN KEY (integration_id) REFERENCES integrations(id) ON DELETE CASCADE,
  constraint credential_leases_check CHECK (((owner IS NULL) = (expires_at IS NULL))),
  constraint credential_leases_journal_check CHECK (((jsonb_typeof(journal) = 'object'::text) AND (octet_length((journal)::text) <= 262144)))
);
CREATE INDEX credential_leases_journal ON public.credential_leases USING btree (integration_id) WHERE (journal IS NOT NULL);
alter table public.credential_leases enable row level security;

-- The history of findings, append-only until clean_up deletes what is older than the retention. Mutes are rows of their own.
create table public.finding_events (
  id bigint generated always as identity not null,
  occurred_at timestamp with time zone default now() not null,
  finding_id uuid not null,
  organization_id uuid not null,
  assessment_id uuid,
  action text not null,
  -- What changed: the account's configuration, the check, what the credential may see, a user, or only the time. Null: unknown (the first run, an outage).
  cause text,
  -- How it ended (passed, gone …), or why it could not be checked.
  reason text,
  -- Whether webhooks report it.
  announced boolean default false not null,
  constraint finding_events_pkey PRIMARY KEY (id),
  constraint finding_events_action_check CHECK ((action = ANY (ARRAY['opened'::text, 'reopened'::text, 'resolved'::text, 'archived'::text, 'unverified'::text, 'verified'::text, 'severity_changed'::text]))),
  constraint finding_events_cause_check CHECK ((cause = ANY (ARRAY['configuration'::text, 'check'::text, 'permission'::text, 'user'::text, 'time'::text]))),
  constraint finding_events_reason_check CHECK (((char_length(reason) >= 1) AND (char_length(reason) <= 64)))
);
CREATE INDEX finding_events_finding ON public.finding_events USING btree (finding_id, id);
alter table public.finding_events enable row level security;
create policy "Members can read their organization's finding events" on public.finding_events for select using (private.can_access_organization(organization_id));
CREATE TRIGGER announce_finding AFTER INSERT ON public.finding_events FOR EACH ROW WHEN ((new.announced AND (new.action = ANY (ARRAY['opened'::text, 'reopened'::text, 'resolved'::text])))) EXECUTE FUNCTION private.announce_finding();
CREATE TRIGGER append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.finding_events FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_change();
CREATE TRIGGER keep_young AFTER DELETE ON public.finding_events REFERENCING OLD TABLE AS deleted FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_young_deletions();
grant select (id, occurred_at, finding_id, organization_id, assessment_id, action, cause, reason) on public.finding_events to authenticated;

-- A user's decision to hide findings. It is joined where findings are read, so it starts and ends at once, without a scan.
create table public.finding_mutes (
  id uuid default gen_random_uuid() not null,
  organization_id uuid not null,
  -- Null: all of the organization. Likewise resource_id and item.
  integration_id uuid,
  check_id text not null,
  resource_id text,
  item text,
  reason text not null,
  note text not null,
  created_by uuid not null,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone not null,
  ended_at timestamp with time zone,
  -- The user who ended it early. Null: it expired.
  ended_by uuid,
  constraint finding_mutes_pkey PRIMARY KEY (id),
  constraint finding_mutes_check CHECK (((expires_at > created_at) AND (expires_at <= (created_at + '1 year'::interval)))),
  constraint finding_mutes_check1 CHECK (((resource_id IS NULL) OR (integration_id IS NOT NULL))),
  constraint finding_mutes_check2 CHECK (((item IS NULL) OR (resource_id IS NOT NULL))),
  constraint finding_mutes_check_id_check CHECK (((char_length(check_id) >= 1) AND (char_length(check_id) <= 100))),
  constraint finding_mutes_item_check CHECK (((char_length(item) >= 1) AND (char_length(item) <= 300))),
  constraint finding_mutes_note_check CHECK (((char_length(note) >= 3) AND (char_length(note) <= 500))),
  constraint finding_mutes_reason_check CHECK ((reason = ANY (ARRAY['accepted_risk'::text, 'false_positive'::text, 'compensating_control'::text, 'wont_fix'::text]))),
  constraint finding_mutes_resource_id_check CHECK (((char_length(resource_id) >= 1) AND (char_length(resource_id) <= 1000)))
);
CREATE INDEX finding_mutes_active ON public.finding_mutes USING btree (organization_id, check_id) WHERE (ended_at IS NULL);
CREATE INDEX finding_mutes_ended ON public.finding_mutes USING btree (ended_at) WHERE (ended_at IS NOT NULL);
CREATE INDEX finding_mutes_expiry ON public.finding_mutes USING btree (expires_at) WHERE (ended_at IS NULL);
CREATE INDEX finding_mutes_organization ON public.finding_mutes USING btree (organization_id, created_at DESC, id);
alter table public.finding_mutes enable row level security;
create policy "Members can read their organization's finding mutes" on public.finding_mutes for select using (private.can_access_organization(organization_id));
CREATE TRIGGER announce_mute_end AFTER UPDATE OF ended_at ON public.finding_mutes FOR EACH ROW WHEN (((new.ended_at IS NOT NULL) AND (old.ended_at IS NULL))) EXECUTE FUNCTION private.announce_mute_end();
grant select (id, organization_id, integration_id, check_id, resource_id, item, reason, note, created_by, created_at, expires_at, ended_at, ended_by) on public.finding_mutes to authenticated;

-- A failure of a check at one resource, across runs, from its first one on. Without foreign keys: it outlives its integration.
create table public.findings (
  id uuid default gen_random_uuid() not null,
  organization_id uuid not null,
  integration_id uuid not null,
  integration_type text not null,
  account_id text,
  -- private.finding_identity of account, check, resource and item: ids of the provider, never names.
  identity bytea not null,
  check_id text not null,
  check_version integer not null,
  resource_type text not null,
  resource_id text not null,
  resource_name text,
  item text not null,
  severity text not null,
  -- The order of lists, and their cursor: the most severe first (1 is critical, 5 info), then the youngest.
  sort_key text generated always as (((
CASE severity
    WHEN 'critical'::text THEN '1'::text
    WHEN 'high'::text THEN '2'::text
    WHEN 'medium'::text THEN '3'::text
    WHEN 'low'::text THEN '4'::text
    ELSE '5'::text
END || to_hex(('9007199254740991'::bigint - ((date_part('epoch'::text, (opened_at - '1970-01-01 00:00:00+00'::timestamp with time zone)) * (1000000)::double precision))::bigint))) || (id)::text)) stored not null,
  -- resolved: proven, by a pass of the resource or its absence from a list that was read to its end. archived: nothing checks it any more.
  state text default 'open'::text not null,
  ended_as text,
  -- The finding is open, but no run could check it since then. Null: the last run saw the failure.
  unverified_since timestamp with time zone,
  unverified_reason text,
  evidence jsonb default '{}'::jsonb not null,
  reopened integer default 0 not null,
  first_seen_at timestamp with time zone default now() not null,
  opened_at timestamp with time zone default now() not null,
  ended_at timestamp with time zone,
  constraint findings_pkey PRIMARY KEY (id),
  constraint findings_check CHECK ((((state = 'open'::text) = (ended_as IS NULL)) AND ((state = 'open'::text) = (ended_at IS NULL)))),
  constraint findings_check1 CHECK (((state = 'resolved'::text) = (COALESCE(ended_as, ''::text) = ANY (ARRAY['passed'::text, 'gone'::text])))),
  constraint findings_check2 CHECK (((unverified_since IS NULL) OR (state = 'open'::text))),
  constraint findings_check3 CHECK (((unverified_since IS NULL) = (unverified_reason IS NULL))),
  constraint findings_ended_as_check CHECK ((ended_as = ANY (ARRAY['passed'::text, 'gone'::text, 'check_removed'::text, 'account_replaced'::text, 'disconnected'::text]))),
  constraint findings_severity_check CHECK ((severity = ANY (ARRAY['critical'::text, 'high'::text, 'medium'::text, 'low'::text, 'info'::text]))),
  constraint findings_state_check CHECK ((state = ANY (ARRAY['open'::text, 'resolved'::text, 'archived'::text]))),
  constraint findings_unverified_reason_check CHECK (((char_length(unverified_reason) >= 1) AND (char_length(unverified_reason) <= 64)))
);
CREATE INDEX findings_check ON public.findings USING btree (organization_id, check_id, state, sort_key) WITH (deduplicate_items=off);
CREATE INDEX findings_ended_at ON public.findings USING btree (ended_at) WHERE (state <> 'open'::text);
CREATE INDEX findings_integration ON public.findings USING btree (integration_id, sort_key) WITH (deduplicate_items=off) WHERE (state = 'open'::text);
CREATE INDEX findings_integration_ended ON public.findings USING btree (integration_id, state, sort_key) WITH (deduplicate_items=off) WHERE (state <> 'open'::text);
CREATE INDEX findings_organization ON public.findings USING btree (organization_id, sort_key) WITH (deduplicate_items=off) WHERE (state = 'open'::text);
CREATE INDEX findings_organization_ended ON public.findings USING btree (organization_id, state, sort_key) WITH (deduplicate_items=off) WHERE (state <> 'open'::text);
CREATE UNIQUE INDEX findings_identity ON public.findings USING btree (integration_id, identity);
alter table public.findings enable row level security;
create policy "Members can read their organization's findings" on public.findings for select using (private.can_access_organization(organization_id));
grant select (id, organization_id, integration_id, integration_type, account_id, check_id, check_version, resource_type, resource_id, resource_name, item, severity, sort_key, state, ended_as, unverified_since, unverified_reason, evidence, reopened, first_seen_at, opened_at, ended_at) on public.findings to authenticated;

create table public.integrations (
  id uuid default gen_random_uuid() not null,
  organization_id uuid not null,
  integration_type text not null,
  name text not null,
  config jsonb default '{}'::jsonb not null,
  status text default 'active'::text not null,
  scan_schedule text,
  last_checked_at timestamp with time zone,
  next_check_at timestamp with time zone,
  created_at timestamp with time zone default now() not null,
  updated_at timestamp with time zone default now() not null,
  -- The account's id at the provider. Null in rows whose writer does not know this column.
  external_account_id text,
  -- A user chose the name, so connecting the account again keeps it. Otherwise the name follows the provider's.
  name_is_custom boolean default false not null,
  -- A trigger copies it from the config's plaintext expires_at. Null if the config has none, or none that is a timestamp.
  token_expires_at timestamp with time zone,
  -- A trigger copies it from the config's plaintext scope. Null: nobody knows which scopes the grant has.
  granted_scopes text[],
  -- A short code: why the status is not active. Null while it is active.
  status_reason text,
  -- A reconnection replaced a credential whose grant may still exist at the provider: what a second grant does to the first is not documented.
  may_have_earlier_grant boolean default false not null,
  -- When the grant was received, or when the user entered the credentials. Older ones that arrive later are not stored.
  granted_at timestamp with time zone,
  -- The end user, in the words of the backend whose connect session last connected the account. Null: a user of the project connected it.
  external_user_id text,
  -- Who last connected the account, in the words of its event: actor, with user_id, or with service_key, name, connect_session and external_user_id. Null: another application wrote the row.
  connected_by jsonb,
  -- What the operator's programs and the organization's admins sort integrations by: at most 20, of 1 to 64 characters.
  tags text[] default '{}'::text[] not null,
  -- The OAuth app of the organization that the grant was issued to. Null: the deployment's.
  oauth_app_id uuid,
  constraint integrations_pkey PRIMARY KEY (id),
  constraint integrations_oauth_app FOREIGN KEY (organization_id, integration_type, oauth_app_id) REFERENCES private.oauth_apps(organization_id, integration_type, id),
  constraint integrations_connected_by_check CHECK (((jsonb_typeof(connected_by) = 'object'::text) AND (octet_length((connected_by)::text) <= 4096))),
  constraint integrations_external_account_id_check CHECK (((char_length(external_account_id) >= 1) AND (char_length(external_account_id) <= 200))),
  constraint integrations_external_user_id_check CHECK (((char_length(external_user_id) >= 1) AND (char_length(external_user_id) <= 200))),
  constraint integrations_status_reason_check CHECK (((char_length(status_reason) >= 1) AND (char_length(status_reason) <= 64))),
  constraint integrations_tags_check CHECK (((cardinality(tags) <= 20) AND (array_position(tags, NULL::text) IS NULL) AND (''::text <> ALL (tags)) AND (array_to_string(tags, '
'::text) !~ '[^\n]{65}'::text)))
);
CREATE INDEX idx_integrations_next_check ON public.integrations USING btree (next_check_at);
CREATE INDEX idx_integrations_org_id ON public.integrations USING btree (organization_id);
CREATE INDEX idx_integrations_status ON public.integrations USING btree (status);
CREATE INDEX idx_integrations_type ON public.integrations USING btree (integration_type);
CREATE INDEX integrations_account ON public.integrations USING btree (integration_type, external_account_id);
CREATE INDEX integrations_created_at ON public.integrations USING btree (created_at DESC, id);
CREATE INDEX integrations_due_for_check ON public.integrations USING btree (integration_type, next_check_at) WHERE ((oauth_app_id IS NULL) AND (scan_schedule IS NOT NULL) AND (next_check_at IS NOT NULL) AND (status = ANY (ARRAY['active'::text, 'degraded'::text])));
CREATE INDEX integrations_due_for_refresh ON public.integrations USING btree (token_expires_at) INCLUDE (organization_id, integration_type, id, oauth_app_id) WHERE ((token_expires_at IS NOT NULL) AND (status = ANY (ARRAY['active'::text, 'degraded'::text])));
CREATE INDEX integrations_external_user ON public.integrations USING btree (organization_id, external_user_id) WHERE (external_user_id IS NOT NULL);
CREATE INDEX integrations_oauth_app_id ON public.integrations USING btree (oauth_app_id) WHERE (oauth_app_id IS NOT NULL);
CREATE INDEX integrations_of_apps_due_for_check ON public.integrations USING btree (next_check_at) WHERE ((oauth_app_id IS NOT NULL) AND (scan_schedule IS NOT NULL) AND (next_check_at IS NOT NULL) AND (status = ANY (ARRAY['active'::text, 'degraded'::text])));
CREATE INDEX integrations_tags ON public.integrations USING gin (tags);
CREATE UNIQUE INDEX integrations_external_account ON public.integrations USING btree (organization_id, integration_type, external_account_id);
alter table public.integrations enable row level security;
create policy "Members can read their organization's integrations" on public.integrations for select using (private.can_access_organization(organization_id));
CREATE TRIGGER announce_change AFTER INSERT OR DELETE ON public.integrations FOR EACH ROW EXECUTE FUNCTION private.announce_integration();
CREATE TRIGGER announce_degradation AFTER UPDATE OF status ON public.integrations FOR EACH ROW WHEN (((new.status = 'degraded'::text) AND (old.status IS DISTINCT FROM 'degraded'::text))) EXECUTE FUNCTION private.announce_integration();
CREATE TRIGGER announce_end AFTER UPDATE OF status ON public.integrations FOR EACH ROW WHEN (((new.status = ANY (ARRAY['reconnect_required'::text, 'revoked'::text])) AND (old.status <> ALL (ARRAY['reconnect_required'::text, 'revoked'::text])))) EXECUTE FUNCTION private.announce_integration();
CREATE TRIGGER clear_status_reason BEFORE UPDATE OF status ON public.integrations FOR EACH ROW WHEN (((new.status = 'active'::text) AND (new.status_reason IS NOT NULL))) EXECUTE FUNCTION private.clear_status_reason();
CREATE TRIGGER copy_from_config BEFORE INSERT OR UPDATE OF config, token_expires_at, granted_scopes ON public.integrations FOR EACH ROW WHEN ((current_setting('integrations.rewrap'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION private.copy_from_config();
CREATE TRIGGER drop_lease AFTER UPDATE OF config ON public.integrations FOR EACH ROW WHEN (((current_setting('integrations.rewrap'::text, true) IS DISTINCT FROM 'on'::text) AND (current_setting('integrations.settle'::text, true) IS DISTINCT FROM 'on'::text) AND (old.config IS DISTINCT FROM new.config))) EXECUTE FUNCTION private.drop_lease();
CREATE TRIGGER end_runs AFTER DELETE ON public.integrations FOR EACH ROW EXECUTE FUNCTION private.end_runs_of_deleted();
CREATE TRIGGER forget_oauth_app BEFORE UPDATE OF config ON public.integrations FOR EACH ROW WHEN (((old.oauth_app_id IS NOT NULL) AND (NOT (new.oauth_app_id IS DISTINCT FROM old.oauth_app_id)) AND (current_setting('integrations.connect'::text, true) IS DISTINCT FROM 'on'::text) AND (current_setting('integrations.rewrap'::text, true) IS DISTINCT FROM 'on'::text) AND (current_setting('integrations.settle'::text, true) IS DISTINCT FROM 'on'::text))) EXECUTE FUNCTION private.forget_oauth_app();
CREATE TRIGGER note_changed_pending_reseal AFTER UPDATE OF id, config ON public.integrations FOR EACH ROW WHEN (((((old.config -> '_enc'::text) IS DISTINCT FROM (new.config -> '_enc'::text)) OR (old.id <> new.id)) AND (current_setting('integrations.rewrap'::text, true) IS DISTINCT FROM 'on'::text))) EXECUTE FUNCTION private.note_pending_reseal();
CREATE TRIGGER note_pending_reseal AFTER INSERT ON public.integrations FOR EACH ROW EXECUTE FUNCTION private.note_pending_reseal();
CREATE TRIGGER refuse_changed_data_key BEFORE UPDATE OF config, organization_id ON public.integrations FOR EACH ROW WHEN (((((new.config -> '_enc'::text) -> 'v'::text) = '3'::jsonb) AND ((old.config IS DISTINCT FROM new.config) OR (old.organization_id IS DISTINCT FROM new.organization_id)))) EXECUTE FUNCTION private.refuse_missing_data_key();
CREATE TRIGGER refuse_fenced_key BEFORE INSERT OR UPDATE OF id, config ON public.integrations FOR EACH ROW EXECUTE FUNCTION private.refuse_fenced_key(); -- disabled until a rotation declares its fence
CREATE TRIGGER refuse_missing_data_key BEFORE INSERT ON public.integrations FOR EACH ROW WHEN ((((new.config -> '_enc'::text) -> 'v'::text) = '3'::jsonb)) EXECUTE FUNCTION private.refuse_missing_data_key();
CREATE TRIGGER schedule_next_check BEFORE UPDATE OF status, next_check_at ON public.integrations FOR EACH ROW WHEN ((new.scan_schedule IS NOT NULL)) EXECUTE FUNCTION private.schedule_next_check();
CREATE TRIGGER set_updated_at BEFORE UPDATE ON public.integrations FOR EACH ROW WHEN ((current_setting('integrations.rewrap'::text, true) IS DISTINCT FROM 'on'::text)) EXECUTE FUNCTION private.set_updated_at();
grant delete, insert, select, update on public.integrations to service_role;
grant select (id, organization_id, integration_type, name, status, scan_schedule, last_checked_at, next_check_at, created_at, updated_at, external_account_id, token_expires_at, granted_scopes, status_reason, external_user_id, connected_by, tags, oauth_app_id) on public.integrations to authenticated;

create table public.key_registry (
  kid text not null,
  state text not null,
  changed_at timestamp with time zone default now() not null,
  constraint key_registry_pkey PRIMARY KEY (kid),
  constraint key_registry_kid_check CHECK ((kid ~ '^[0-9a-f]{16}$'::text)),
  constraint key_registry_state_check CHECK ((state = ANY (ARRAY['known'::text, 'allowed'::text, 'retired'::text])))
);
alter table public.key_registry enable row level security;

create table public.oauth_transactions (
  id uuid not null,
  state_hash text not null,
  binding_hash text not null,
  user_id uuid,
  connect_session_id uuid,
  organization_id uuid not null,
  integration_type text not null,
  issuer text,
  redirect_uri text not null,
  verifier jsonb not null,
  return_to text,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone default (now() + '00:10:00'::interval) not null,
  -- The integration that is reconnected. Null: any account may be connected.
  integration_id uuid,
  oauth_app_id uuid,
  constraint oauth_transactions_state_hash_key UNIQUE (state_hash),
  constraint oauth_transactions_pkey PRIMARY KEY (id),
  constraint oauth_transactions_organization_id_integration_type_oauth__fkey FOREIGN KEY (organization_id, integration_type, oauth_app_id) REFERENCES private.oauth_apps(organization_id, integration_type, id) ON DELETE CASCADE,
  constraint oauth_transactions_binding_hash_check CHECK (((char_length(binding_hash) >= 1) AND (char_length(binding_hash) <= 128))),
  constraint oauth_transactions_check CHECK ((num_nonnulls(user_id, connect_session_id) = 1)),
  constraint oauth_transactions_integration_type_check CHECK (((char_length(integration_type) >= 1) AND (char_length(integration_type) <= 64))),
  constraint oauth_transactions_issuer_check CHECK ((char_length(issuer) <= 512)),
  constraint oauth_transactions_redirect_uri_check CHECK (((char_length(redirect_uri) >= 1) AND (char_length(redirect_uri) <= 2048))),
  constraint oauth_transactions_return_to_check CHECK ((char_length(return_to) <= 2048)),
  constraint oauth_transactions_state_hash_check CHECK (((char_length(state_hash) >= 1) AND (char_length(state_hash) <= 128))),
  constraint oauth_transactions_verifier_check CHECK ((octet_length((verifier)::text) <= 4096))
);
CREATE INDEX oauth_transactions_connect_session_id ON public.oauth_transactions USING btree (connect_session_id) WHERE (connect_session_id IS NOT NULL);
CREATE INDEX oauth_transactions_expires_at ON public.oauth_transactions USING btree (expires_at);
CREATE INDEX oauth_transactions_oauth_app_id ON public.oauth_transactions USING btree (oauth_app_id) WHERE (oauth_app_id IS NOT NULL);
CREATE INDEX oauth_transactions_organization_id ON public.oauth_transactions USING btree (organization_id);
CREATE INDEX oauth_transactions_user_id ON public.oauth_transactions USING btree (user_id);
alter table public.oauth_transactions enable row level security;

-- Users of an organization. A personal organization (organization_id = user_id) needs no row.
create table public.organization_members (
  organization_id uuid not null,
  user_id uuid not null,
  -- member: sees everything of the organization. admin: also connects, disconnects and changes. owner: also manages service keys.
  role text default 'admin'::text not null,
  created_at timestamp with time zone default now() not null,
  constraint organization_members_pkey PRIMARY KEY (organization_id, user_id),
  constraint organization_members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text])))
);
CREATE INDEX organization_members_user_id ON public.organization_members USING btree (user_id);
alter table public.organization_members enable row level security;
create policy "Users can read their own memberships" on public.organization_members for select using ((user_id = ( SELECT auth.uid() AS uid)));
grant select on public.organization_members to authenticated;
grant delete, insert, select, update on public.organization_members to service_role;

create table public.pending_connections (
  id uuid not null,
  user_id uuid,
  connect_session_id uuid,
  organization_id uuid not null,
  integration_type text not null,
  config jsonb not null,
  accounts jsonb,
  return_to text,
  created_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone default (now() + '00:05:00'::interval) not null,
  oauth_app_id uuid,
  constraint pending_connections_pkey PRIMARY KEY (id),
  constraint pending_connections_organization_id_integration_type_oauth_fkey FOREIGN KEY (organization_id, integration_type, oauth_app_id) REFERENCES private.oauth_apps(organization_id, integration_type, id),
  constraint pending_connections_accounts_check CHECK (((jsonb_typeof(accounts) = 'array'::text) AND ((jsonb_array_length(accounts) >= 1) AND (jsonb_array_length(accounts) <= 1000)) AND (octet_length((accounts)::text) <= 262144))),
  constraint pending_connections_check CHECK ((num_nonnulls(user_id, connect_session_id) = 1)),
  constraint pending_connections_config_check CHECK (((jsonb_typeof(config) = 'object'::text) AND (octet_length((config)::text) <= 262144))),
  constraint pending_connections_integration_type_check CHECK (((char_length(integration_type) >= 1) AND (char_length(integration_type) <= 64))),
  constraint pending_connections_return_to_check CHECK ((char_length(return_to) <= 2048))
);
CREATE INDEX pending_connections_connect_session_id ON public.pending_connections USING btree (connect_session_id) WHERE (connect_session_id IS NOT NULL);
CREATE INDEX pending_connections_expires_at ON public.pending_connections USING btree (expires_at);
CREATE INDEX pending_connections_oauth_app_id ON public.pending_connections USING btree (oauth_app_id) WHERE (oauth_app_id IS NOT NULL);
CREATE INDEX pending_connections_organization_id ON public.pending_connections USING btree (organization_id);
CREATE INDEX pending_connections_user_id ON public.pending_connections USING btree (user_id);
alter table public.pending_connections enable row level security;
CREATE TRIGGER record_ended_connection AFTER DELETE ON public.pending_connections FOR EACH ROW EXECUTE FUNCTION private.record_ended_connection();
CREATE TRIGGER refuse_missing_data_key BEFORE INSERT ON public.pending_connections FOR EACH ROW WHEN ((((new.config -> '_enc'::text) -> 'v'::text) = '3'::jsonb)) EXECUTE FUNCTION private.refuse_missing_data_key();

create table public.webhook_deliveries (
  endpoint_id uuid not null,
  event_id uuid not null,
  position bigint default nextval('private.webhook_positions'::regclass) not null,
  organization_id uuid,
  integration_id uuid not null,
  type text not null,
  occurred_at timestamp with time zone not null,
  state text default 'pending'::text not null,
  attempts integer default 0 not null,
  next_attempt_at timestamp with time zone default now() not null,
  expires_at timestamp with time zone default (now() + '3 days'::interval) not null,
  last_attempt_at timestamp with time zone,
  -- The last status of the receiver. Null: there was no response.
  last_status integer,
  -- A short code: why the last attempt failed (status, redirect, timeout, unreachable, refused, unreadable), or expired, or overflow. Null after a success.
  last_error text,
  delivered_at timestamp with time zone,
  owner uuid,
  leased_until timestamp with time zone,
  constraint webhook_deliveries_position_key UNIQUE ("position"),
  constraint webhook_deliveries_pkey PRIMARY KEY (endpoint_id, event_id),
  constraint webhook_deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints(id) ON DELETE CASCADE,
  constraint webhook_deliveries_event_id_fkey FOREIGN KEY (event_id) REFERENCES private.webhook_events(id) ON DELETE CASCADE,
  constraint webhook_deliveries_check CHECK (((owner IS NULL) = (leased_until IS NULL))),
  constraint webhook_deliveries_last_error_check CHECK (((char_length(last_error) >= 1) AND (char_length(last_error) <= 64))),
  constraint webhook_deliveries_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'delivered'::text, 'failed'::text])))
);
CREATE INDEX webhook_deliveries_due ON public.webhook_deliveries USING btree (endpoint_id, next_attempt_at) WHERE (state = 'pending'::text);
CREATE INDEX webhook_deliveries_endpoint ON public.webhook_deliveries USING btree (endpoint_id, "position");
CREATE INDEX webhook_deliveries_event ON public.webhook_deliveries USING btree (event_id);
CREATE INDEX webhook_deliveries_expiry ON public.webhook_deliveries USING btree (expires_at) WHERE (state = 'pending'::text);
CREATE INDEX webhook_deliveries_leased ON public.webhook_deliveries USING btree (endpoint_id) WHERE (owner IS NOT NULL);
CREATE INDEX webhook_deliveries_order ON public.webhook_deliveries USING btree (endpoint_id, integration_id, "position") WHERE (state = 'pending'::text);
alter table public.webhook_deliveries enable row level security;
create policy "Members can read their organization's deliveries" on public.webhook_deliveries for select using ((private.can_access_organization(organization_id) AND (EXISTS ( SELECT
   FROM webhook_endpoints e
  WHERE (e.id = webhook_deliveries.endpoint_id)))));
grant select (endpoint_id, event_id, position, organization_id, integration_id, type, occurred_at, state, attempts, next_attempt_at, last_attempt_at, last_status, last_error, delivered_at) on public.webhook_deliveries to authenticated;

create table public.webhook_endpoints (
  id uuid not null,
  organization_id uuid,
  url text not null,
  -- The event types that the endpoint receives. Null: all, including future ones.
  events text[],
  -- The least severity of the findings that the endpoint receives. Null: any.
  min_severity text,
  enabled boolean default true not null,
  -- gone: the receiver answered 410. Null if a user disabled it, or if it is enabled.
  disabled_reason text,
  -- The signing secrets, sealed as docs/format.md says for (organization, endpoint): secret, and during a change previous_secret.
  config jsonb not null,
  previous_secret_ends_at timestamp with time zone,
  -- The first failure since the last success.
  failing_since timestamp with time zone,
  -- Until then it shares the lanes of slow endpoints. infinity: it has not responded in time yet.
  slow_until timestamp with time zone default 'infinity'::timestamp with time zone not null,
  -- Nothing is sent before then: a slow receiver pauses for as long as its response took.
  rests_until timestamp with time zone default '-infinity'::timestamp with time zone not null,
  created_at timestamp with time zone default now() not null,
  updated_at timestamp with time zone default now() not null,
  -- When it was deleted. Nobody sees it, it gets no more events, and clean_up deletes its deliveries and then the row.
  deleted_at timestamp with time zone,
  constraint webhook_endpoints_pkey PRIMARY KEY (id),
  constraint webhook_endpoints_check CHECK (((disabled_reason IS NULL) OR (NOT enabled))),
  constraint webhook_endpoints_check1 CHECK (((deleted_at IS NULL) OR (NOT enabled))),
  constraint webhook_endpoints_config_check CHECK (((jsonb_typeof(config) = 'object'::text) AND (octet_length((config)::text) <= 4096))),
  constraint webhook_endpoints_disabled_reason_check CHECK ((disabled_reason = 'gone'::text)),
  constraint webhook_endpoints_events_check CHECK ((((cardinality(events) >= 1) AND (cardinality(events) <= 32)) AND (events <@ private.webhook_types()))),
  constraint webhook_endpoints_min_severity_check CHECK ((min_severity = ANY (ARRAY['critical'::text, 'high'::text, 'medium'::text, 'low'::text, 'info'::text]))),
  constraint webhook_endpoints_url_check CHECK (((char_length(url) >= 1) AND (char_length(url) <= 2048)))
);
CREATE INDEX webhook_endpoints_deleted_at ON public.webhook_endpoints USING btree (deleted_at) WHERE (deleted_at IS NOT NULL);
CREATE INDEX webhook_endpoints_organization ON public.webhook_endpoints USING btree (organization_id);
alter table public.webhook_endpoints enable row level security;
create policy "Members can read their organization's endpoints" on public.webhook_endpoints for select using (((deleted_at IS NULL) AND private.can_access_organization(organization_id)));
CREATE TRIGGER refuse_changed_data_key BEFORE UPDATE OF config ON public.webhook_endpoints FOR EACH ROW WHEN (((((new.config -> '_enc'::text) -> 'v'::text) = '3'::jsonb) AND (old.config IS DISTINCT FROM new.config))) EXECUTE FUNCTION private.refuse_missing_data_key();
CREATE TRIGGER refuse_fenced_change BEFORE UPDATE OF config ON public.webhook_endpoints FOR EACH ROW WHEN (((old.config -> '_enc'::text) IS DISTINCT FROM (new.config -> '_enc'::text))) EXECUTE FUNCTION private.refuse_fenced_key();
CREATE TRIGGER refuse_fenced_key BEFORE INSERT ON public.webhook_endpoints FOR EACH ROW EXECUTE FUNCTION private.refuse_fenced_key();
CREATE TRIGGER refuse_missing_data_key BEFORE INSERT ON public.webhook_endpoints FOR EACH ROW WHEN ((((new.config -> '_enc'::text) -> 'v'::text) = '3'::jsonb)) EXECUTE FUNCTION private.refuse_missing_data_key();
grant select (id, organization_id, url, events, min_severity, enabled, disabled_reason, previous_secret_ends_at, created_at) on public.webhook_endpoints to authenticated;

-- The valid service key that the request names.
create view private.requesting_key with (null) as
 SELECT organization_id
   FROM private.service_keys k
  WHERE ((id = (((NULLIF(current_setting('request.headers'::text, true), ''::text))::jsonb ->> 'x-service-key-id'::text))::uuid) AND (revoked_at IS NULL) AND COALESCE((expires_at > now()), true));

-- The findings that were open when a run ended, by the history of each. Names, severity, evidence and mutes are the present ones.
create view public.assessment_findings with (security_invoker=true) as
 SELECT r.id AS assessment_id,
    l.id,
    l.organization_id,
    l.integration_id,
    l.integration_type,
    l.account_id,
    l.check_id,
    l.check_version,
    l.resource_type,
    l.resource_id,
    l.resource_name,
    l.item,
    l.severity,
    l.sort_key,
    l.state,
    l.ended_as,
    l.unverified_since,
    l.unverified_reason,
    l.evidence,
    l.reopened,
    l.first_seen_at,
    l.opened_at,
    l.ended_at,
    l.muted_until,
    l.muted
   FROM (assessments r
     JOIN finding_list l ON (((l.integration_id = r.integration_id) AND (l.organization_id = r.organization_id))))
  WHERE ((r.state = 'done'::text) AND (l.first_seen_at <= r.finished_at) AND
        CASE
            WHEN ((l.state = 'open'::text) AND (l.opened_at <= r.finished_at)) THEN true
            ELSE COALESCE(( SELECT (e.action = ANY (ARRAY['opened'::text, 'reopened'::text]))
               FROM finding_events e
              WHERE ((e.finding_id = l.id) AND (e.occurred_at <= r.finished_at) AND (e.action = ANY (ARRAY['opened'::text, 'reopened'::text, 'resolved'::text, 'archived'::text])))
              ORDER BY e.id DESC
             LIMIT 1), false)
        END);
grant select on public.assessment_findings to authenticated;

-- Findings, and until when they are muted.
create view public.finding_list with (security_invoker=true) as
 SELECT f.id,
    f.organization_id,
    f.integration_id,
    f.integration_type,
    f.account_id,
    f.check_id,
    f.check_version,
    f.resource_type,
    f.resource_id,
    f.resource_name,
    f.item,
    f.severity,
    f.sort_key,
    f.state,
    f.ended_as,
    f.unverified_since,
    f.unverified_reason,
    f.evidence,
    f.reopened,
    f.first_seen_at,
    f.opened_at,
    f.ended_at,
    m.muted_until,
    COALESCE((m.muted_until > now()), false) AS muted
   FROM (findings f
     CROSS JOIN LATERAL ( SELECT max(a.expires_at) AS muted_until
           FROM finding_mutes a
          WHERE ((a.organization_id = f.organization_id) AND (a.check_id = f.check_id) AND (a.ended_at IS NULL) AND (a.expires_at > now()) AND ((a.integration_id IS NULL) OR (a.integration_id = f.integration_id)) AND ((a.resource_id IS NULL) OR (a.resource_id = f.resource_id)) AND ((a.item IS NULL) OR (a.item = f.item)))) m);
grant select on public.finding_list to authenticated;

-- Mutes, and whether an open finding matches.
create view public.mute_list with (security_invoker=true) as
 SELECT id,
    organization_id,
    integration_id,
    check_id,
    resource_id,
    item,
    reason,
    note,
    created_by,
    created_at,
    expires_at,
    ended_at,
    ended_by,
    ((ended_at IS NULL) AND (expires_at > now())) AS active,
    (EXISTS ( SELECT
           FROM findings f
          WHERE ((f.organization_id = m.organization_id) AND (f.check_id = m.check_id) AND (f.state = 'open'::text) AND ((m.integration_id IS NULL) OR (m.integration_id = f.integration_id)) AND ((m.resource_id IS NULL) OR (m.resource_id = f.resource_id)) AND ((m.item IS NULL) OR (m.item = f.item))))) AS matches
   FROM finding_mutes m;
grant select on public.mute_list to authenticated;

-- The findings of finding_list that are muted. It reads the findings of checks that have an active mute, and no others.
create view public.muted_finding_list with (security_invoker=true) as
 SELECT l.id,
    l.organization_id,
    l.integration_id,
    l.integration_type,
    l.account_id,
    l.check_id,
    l.check_version,
    l.resource_type,
    l.resource_id,
    l.resource_name,
    l.item,
    l.severity,
    (l.sort_key || ''::text) AS sort_key,
    l.state,
    l.ended_as,
    l.unverified_since,
    l.unverified_reason,
    l.evidence,
    l.reopened,
    l.first_seen_at,
    l.opened_at,
    l.ended_at,
    l.muted_until,
    l.muted
   FROM (( SELECT DISTINCT m.organization_id,
            m.check_id
           FROM finding_mutes m
          WHERE ((m.ended_at IS NULL) AND (m.expires_at > now()))) a
     JOIN finding_list l ON (((l.organization_id = a.organization_id) AND (l.check_id = a.check_id))))
  WHERE l.muted;
grant select on public.muted_finding_list to authenticated;

-- What the service key of the request may see of assessment_checks.
create view public.service_assessment_checks with (null) as
 SELECT assessment_id,
    organization_id,
    check_id,
    check_version,
    status,
    reason,
    needs,
    complete,
    passed,
    failed,
    unknown,
    not_applicable
   FROM assessment_checks
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_assessment_checks to service_role;

-- What the service key of the request may see of assessment_findings.
create view public.service_assessment_findings with (null) as
 SELECT assessment_id,
    id,
    organization_id,
    integration_id,
    integration_type,
    account_id,
    check_id,
    check_version,
    resource_type,
    resource_id,
    resource_name,
    item,
    severity,
    sort_key,
    state,
    ended_as,
    unverified_since,
    unverified_reason,
    evidence,
    reopened,
    first_seen_at,
    opened_at,
    ended_at,
    muted_until,
    muted
   FROM ( SELECT r.id AS assessment_id,
            l.id,
            l.organization_id,
            l.integration_id,
            l.integration_type,
            l.account_id,
            l.check_id,
            l.check_version,
            l.resource_type,
            l.resource_id,
            l.resource_name,
            l.item,
            l.severity,
            l.sort_key,
            l.state,
            l.ended_as,
            l.unverified_since,
            l.unverified_reason,
            l.evidence,
            l.reopened,
            l.first_seen_at,
            l.opened_at,
            l.ended_at,
            l.muted_until,
            l.muted
           FROM (assessments r
             JOIN ( SELECT f.id,
                    f.organization_id,
                    f.integration_id,
                    f.integration_type,
                    f.account_id,
                    f.check_id,
                    f.check_version,
                    f.resource_type,
                    f.resource_id,
                    f.resource_name,
                    f.item,
                    f.severity,
                    f.sort_key,
                    f.state,
                    f.ended_as,
                    f.unverified_since,
                    f.unverified_reason,
                    f.evidence,
                    f.reopened,
                    f.first_seen_at,
                    f.opened_at,
                    f.ended_at,
                    m.muted_until,
                    COALESCE((m.muted_until > now()), false) AS muted
                   FROM (findings f
                     CROSS JOIN LATERAL ( SELECT max(a.expires_at) AS muted_until
                           FROM finding_mutes a
                          WHERE ((a.organization_id = f.organization_id) AND (a.check_id = f.check_id) AND (a.ended_at IS NULL) AND (a.expires_at > now()) AND ((a.integration_id IS NULL) OR (a.integration_id = f.integration_id)) AND ((a.resource_id IS NULL) OR (a.resource_id = f.resource_id)) AND ((a.item IS NULL) OR (a.item = f.item)))) m)) l ON (((l.integration_id = r.integration_id) AND (l.organization_id = r.organization_id))))
          WHERE ((r.state = 'done'::text) AND (l.first_seen_at <= r.finished_at) AND
                CASE
                    WHEN ((l.state = 'open'::text) AND (l.opened_at <= r.finished_at)) THEN true
                    ELSE COALESCE(( SELECT (e.action = ANY (ARRAY['opened'::text, 'reopened'::text]))
                       FROM finding_events e
                      WHERE ((e.finding_id = l.id) AND (e.occurred_at <= r.finished_at) AND (e.action = ANY (ARRAY['opened'::text, 'reopened'::text, 'resolved'::text, 'archived'::text])))
                      ORDER BY e.id DESC
                     LIMIT 1), false)
                END)) v
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_assessment_findings to service_role;

-- What the service key of the request may see of assessments.
create view public.service_assessments with (null) as
 SELECT id,
    organization_id,
    integration_id,
    integration_type,
    account_id,
    trigger,
    slot,
    requested_by,
    state,
    outcome,
    reason,
    catalogue,
    baseline,
    requests,
    passed,
    failed,
    unknown,
    not_applicable,
    muted,
    opened,
    reopened,
    resolved,
    unverified,
    queued_at,
    started_at,
    finished_at
   FROM assessments
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_assessments to service_role;

-- What the service key of the request may see of credential_events.
create view public.service_credential_events with (null) as
 SELECT id,
    occurred_at,
    user_id,
    organization_id,
    integration_id,
    integration_type,
    action,
    outcome,
    request_id,
    actor,
    reason,
    details
   FROM credential_events
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_credential_events to service_role;

-- What the service key of the request may see of finding_events.
create view public.service_finding_events with (null) as
 SELECT id,
    occurred_at,
    finding_id,
    organization_id,
    assessment_id,
    action,
    cause,
    reason
   FROM finding_events
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_finding_events to service_role;

-- What the service key of the request may see of finding_list.
create view public.service_finding_list with (null) as
 SELECT id,
    organization_id,
    integration_id,
    integration_type,
    account_id,
    check_id,
    check_version,
    resource_type,
    resource_id,
    resource_name,
    item,
    severity,
    sort_key,
    state,
    ended_as,
    unverified_since,
    unverified_reason,
    evidence,
    reopened,
    first_seen_at,
    opened_at,
    ended_at,
    muted_until,
    muted
   FROM ( SELECT f.id,
            f.organization_id,
            f.integration_id,
            f.integration_type,
            f.account_id,
            f.check_id,
            f.check_version,
            f.resource_type,
            f.resource_id,
            f.resource_name,
            f.item,
            f.severity,
            f.sort_key,
            f.state,
            f.ended_as,
            f.unverified_since,
            f.unverified_reason,
            f.evidence,
            f.reopened,
            f.first_seen_at,
            f.opened_at,
            f.ended_at,
            m.muted_until,
            COALESCE((m.muted_until > now()), false) AS muted
           FROM (findings f
             CROSS JOIN LATERAL ( SELECT max(a.expires_at) AS muted_until
                   FROM finding_mutes a
                  WHERE ((a.organization_id = f.organization_id) AND (a.check_id = f.check_id) AND (a.ended_at IS NULL) AND (a.expires_at > now()) AND ((a.integration_id IS NULL) OR (a.integration_id = f.integration_id)) AND ((a.resource_id IS NULL) OR (a.resource_id = f.resource_id)) AND ((a.item IS NULL) OR (a.item = f.item)))) m)) v
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_finding_list to service_role;

-- What the service key of the request may see of integrations.
create view public.service_integrations with (null) as
 SELECT id,
    organization_id,
    integration_type,
    name,
    status,
    scan_schedule,
    last_checked_at,
    next_check_at,
    created_at,
    updated_at,
    external_account_id,
    token_expires_at,
    granted_scopes,
    status_reason,
    external_user_id,
    connected_by,
    tags,
    oauth_app_id
   FROM integrations
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_integrations to service_role;

-- What the service key of the request may see of mute_list.
create view public.service_mute_list with (null) as
 SELECT id,
    organization_id,
    integration_id,
    check_id,
    resource_id,
    item,
    reason,
    note,
    created_by,
    created_at,
    expires_at,
    ended_at,
    ended_by,
    active,
    matches
   FROM ( SELECT m.id,
            m.organization_id,
            m.integration_id,
            m.check_id,
            m.resource_id,
            m.item,
            m.reason,
            m.note,
            m.created_by,
            m.created_at,
            m.expires_at,
            m.ended_at,
            m.ended_by,
            ((m.ended_at IS NULL) AND (m.expires_at > now())) AS active,
            (EXISTS ( SELECT
                   FROM findings f
                  WHERE ((f.organization_id = m.organization_id) AND (f.check_id = m.check_id) AND (f.state = 'open'::text) AND ((m.integration_id IS NULL) OR (m.integration_id = f.integration_id)) AND ((m.resource_id IS NULL) OR (m.resource_id = f.resource_id)) AND ((m.item IS NULL) OR (m.item = f.item))))) AS matches
           FROM finding_mutes m) v
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_mute_list to service_role;

-- What the service key of the request may see of muted_finding_list.
create view public.service_muted_finding_list with (null) as
 SELECT id,
    organization_id,
    integration_id,
    integration_type,
    account_id,
    check_id,
    check_version,
    resource_type,
    resource_id,
    resource_name,
    item,
    severity,
    sort_key,
    state,
    ended_as,
    unverified_since,
    unverified_reason,
    evidence,
    reopened,
    first_seen_at,
    opened_at,
    ended_at,
    muted_until,
    muted
   FROM ( SELECT l.id,
            l.organization_id,
            l.integration_id,
            l.integration_type,
            l.account_id,
            l.check_id,
            l.check_version,
            l.resource_type,
            l.resource_id,
            l.resource_name,
            l.item,
            l.severity,
            (l.sort_key || ''::text) AS sort_key,
            l.state,
            l.ended_as,
            l.unverified_since,
            l.unverified_reason,
            l.evidence,
            l.reopened,
            l.first_seen_at,
            l.opened_at,
            l.ended_at,
            l.muted_until,
            l.muted
           FROM (( SELECT DISTINCT m.organization_id,
                    m.check_id
                   FROM finding_mutes m
                  WHERE ((m.ended_at IS NULL) AND (m.expires_at > now()))) a
             JOIN ( SELECT f.id,
                    f.organization_id,
                    f.integration_id,
                    f.integration_type,
                    f.account_id,
                    f.check_id,
                    f.check_version,
                    f.resource_type,
                    f.resource_id,
                    f.resource_name,
                    f.item,
                    f.severity,
                    f.sort_key,
                    f.state,
                    f.ended_as,
                    f.unverified_since,
                    f.unverified_reason,
                    f.evidence,
                    f.reopened,
                    f.first_seen_at,
                    f.opened_at,
                    f.ended_at,
                    m.muted_until,
                    COALESCE((m.muted_until > now()), false) AS muted
                   FROM (findings f
                     CROSS JOIN LATERAL ( SELECT max(a_1.expires_at) AS muted_until
                           FROM finding_mutes a_1
                          WHERE ((a_1.organization_id = f.organization_id) AND (a_1.check_id = f.check_id) AND (a_1.ended_at IS NULL) AND (a_1.expires_at > now()) AND ((a_1.integration_id IS NULL) OR (a_1.integration_id = f.integration_id)) AND ((a_1.resource_id IS NULL) OR (a_1.resource_id = f.resource_id)) AND ((a_1.item IS NULL) OR (a_1.item = f.item)))) m)) l ON (((l.organization_id = a.organization_id) AND (l.check_id = a.check_id))))
          WHERE l.muted) v
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_muted_finding_list to service_role;

-- What the service key of the request may see of webhook_deliveries.
create view public.service_webhook_deliveries with (null) as
 SELECT endpoint_id,
    event_id,
    "position",
    organization_id,
    integration_id,
    type,
    occurred_at,
    state,
    attempts,
    next_attempt_at,
    last_attempt_at,
    last_status,
    last_error,
    delivered_at
   FROM ( SELECT d.endpoint_id,
            d.event_id,
            d."position",
            d.organization_id,
            d.integration_id,
            d.type,
            d.occurred_at,
            d.state,
            d.attempts,
            d.next_attempt_at,
            d.expires_at,
            d.last_attempt_at,
            d.last_status,
            d.last_error,
            d.delivered_at,
            d.owner,
            d.leased_until
           FROM (webhook_deliveries d
             JOIN webhook_endpoints e ON ((e.id = d.endpoint_id)))
          WHERE (e.deleted_at IS NULL)) v
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_webhook_deliveries to service_role;

-- What the service key of the request may see of webhook_endpoints.
create view public.service_webhook_endpoints with (null) as
 SELECT id,
    organization_id,
    url,
    events,
    min_severity,
    enabled,
    disabled_reason,
    previous_secret_ends_at,
    created_at
   FROM ( SELECT e.id,
            e.organization_id,
            e.url,
            e.events,
            e.min_severity,
            e.enabled,
            e.disabled_reason,
            e.config,
            e.previous_secret_ends_at,
            e.failing_since,
            e.slow_until,
            e.rests_until,
            e.created_at,
            e.updated_at,
            e.deleted_at
           FROM webhook_endpoints e
          WHERE (e.deleted_at IS NULL)) v
  WHERE (( SELECT (k.organization_id IS NULL)
           FROM private.requesting_key k) OR (organization_id = ( SELECT k.organization_id
           FROM private.requesting_key k)));
grant select on public.service_webhook_endpoints to service_role;

CREATE OR REPLACE FUNCTION private.account_of(p_row integrations)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(
    p_row.external_account_id,
    case when jsonb_typeof(p_row.config->'project_id') = 'string' then p_row.config->>'project_id' end
  );
$function$;
comment on function private.account_of(integrations) is 'The provider account of a row: external_account_id, or the config''s project_id if an earlier application stored it only there.';

CREATE OR REPLACE FUNCTION private.actor(p_user_id uuid, p_service_key uuid)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case when p_service_key is not null then 'service_key' when p_user_id is not null then 'user' else 'service' end;
$function$;
comment on function private.actor(uuid,uuid) is 'An event''s actor: a service key, a user, or with neither the worker itself.';

CREATE OR REPLACE FUNCTION private.admit(p_kind text, p_subject text, p_free integer, p_window interval, p_pause interval DEFAULT NULL::interval, p_longest interval DEFAULT NULL::interval)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.admit(text,text,integer,interval,interval,interval) is 'Returns how many seconds an attempt must wait; 0: it is admitted and counted. p_free attempts in p_window are admitted. Without p_pause the next one waits for the end of the window; with p_pause it waits that long, the next one twice as long, up to p_longest. An attempt that must wait is not counted, so asking never makes the wait longer.';

CREATE OR REPLACE FUNCTION private.adopt_external_accounts()
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  with candidate as (
    select distinct on (i.organization_id, i.integration_type, i.config->>'project_id')
      i.id, i.config->>'project_id' as account
    from public.integrations i
    where i.external_account_id is null
      and jsonb_typeof(i.config) = 'object'
      and jsonb_typeof(i.config->'project_id') = 'string'
      and char_length(i.config->>'project_id') between 1 and 200
      and not exists (
        select from public.integrations taken
        where taken.organization_id = i.organization_id
          and taken.integration_type = i.integration_type
          and taken.external_account_id = i.config->>'project_id'
      )
    order by i.organization_id, i.integration_type, i.config->>'project_id', i.created_at desc, i.id desc
  ), adopted as (
    update public.integrations i
    set external_account_id = c.account
    from candidate c
    where i.id = c.id
    returning i.id
  )
  select count(*) from adopted;
$function$;
comment on function private.adopt_external_accounts() is 'Gives rows of an earlier application their account: the config''s project_id. Of several rows of one account the newest gets it; an account that already has a row keeps that one. Run it again when the earlier application no longer inserts.';

CREATE OR REPLACE FUNCTION private.announce_assessment()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.announce_assessment() is 'Announces the end of a run. A run that did not run is not announced: the connection''s own events report the cause.';

CREATE OR REPLACE FUNCTION private.announce_event()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.integrations;
begin
  select * into v_row from public.integrations i where i.id = new.integration_id;
  if found then
    perform private.enqueue_event(
      v_row.organization_id, v_row.id, 'connection.' || new.action, private.webhook_data(v_row, new.reason)
    );
  end if;
  return null;
end
$function$;
comment on function private.announce_event() is 'Announces what the row does not show: a refresh, or a failed refresh.';

CREATE OR REPLACE FUNCTION private.announce_finding()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.announce_finding() is 'Announces that a finding was opened, reopened or resolved.';

CREATE OR REPLACE FUNCTION private.announce_integration()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  case tg_op
    when 'INSERT' then
      perform private.enqueue_event(new.organization_id, new.id, 'connection.created', private.webhook_data(new, null));
    when 'DELETE' then
      perform private.enqueue_event(old.organization_id, old.id, 'connection.deleted', private.webhook_data(old, null));
    else
      perform private.enqueue_event(
        new.organization_id, new.id, 'connection.' || case new.status when 'degraded' then 'degraded' else 'reconnect_required' end,
        private.webhook_data(new, new.status_reason)
      );
  end case;
  return null;
end
$function$;
comment on function private.announce_integration() is 'Announces that a connection was created or deleted, or needs its user, for every writer of the row.';

CREATE OR REPLACE FUNCTION private.announce_mute_end()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.announce_mute_end() is 'Announces the open findings that no mute covers any more; the 100 most severe.';

CREATE OR REPLACE FUNCTION private.archive_findings(p_integration_id uuid, p_account_id text, p_assessment_id uuid, p_ended_as text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.archive_findings(uuid,text,uuid,text) is 'Archives the open findings of an integration that nothing will check again: all (disconnected), or those of other accounts than this one (account_replaced). They do not count as resolved.';

CREATE OR REPLACE FUNCTION private.brings_credentials(p_old jsonb, p_new jsonb)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_was jsonb;
  v_is jsonb;
begin
  if jsonb_typeof(p_old) <> 'object' or jsonb_typeof(p_new) <> 'object' or p_old -> '_enc' is distinct from p_new -> '_enc' then
    return true;
  end if;
  select jsonb_object_agg(o.key, o.value) into v_was from jsonb_each(p_old) o where p_new -> o.key is distinct from o.value;
  select jsonb_object_agg(n.key, n.value) into v_is from jsonb_each(p_new) n where p_old -> n.key is distinct from n.value;
  return coalesce(private.holds_secrets(v_was), false) or coalesce(private.holds_secrets(v_is), false);
end
$function$;
comment on function private.brings_credentials(jsonb,jsonb) is 'Whether a write of the config changes more than plaintext: a field with a sensitive name, or the key.';

CREATE OR REPLACE FUNCTION private.can_access_organization(p_organization_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE
RETURN (p_organization_id = ANY (private.my_organizations()));
comment on function private.can_access_organization(uuid) is 'The rule that every policy uses. Without security definer and search_path, so that the planner inlines it and a policy becomes an index condition (a list over 200,000 rows: 0.1 ms instead of 1.8 s). Its body was resolved when it was created.';
grant execute on function private.can_access_organization(uuid) to authenticated;

CREATE OR REPLACE FUNCTION private.clean_up_assessments(p_days integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.clean_up_assessments(integer) is 'Ends runs that have not ended within a day and mutes whose time is over, and deletes runs, ended findings, ended mutes and findings'' events older than p_days days; a bounded number of each. Returns whether there may be more.';

CREATE OR REPLACE FUNCTION private.clean_up_connect_sessions()
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_count integer;
begin
  delete from private.connect_sessions s
    where s.id in (
      select e.id from private.connect_sessions e
      where e.expires_at <= now() - interval '1 day' order by e.expires_at limit 1000 for update skip locked
    );
  get diagnostics v_count = row_count;
  return v_count = 1000;
end
$function$;
comment on function private.clean_up_connect_sessions() is 'Deletes up to 1,000 connect sessions that ended more than a day ago. Until then their backends can read how they ended. Returns whether there may be more.';

CREATE OR REPLACE FUNCTION private.clean_up_service_keys(p_days integer)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  delete from private.service_keys k where least(k.revoked_at, k.expires_at) < now() - make_interval(days => p_days);
$function$;
comment on function private.clean_up_service_keys(integer) is 'Deletes the service keys that ended more than p_days days ago. Until then the list shows the key of an event.';

CREATE OR REPLACE FUNCTION private.clean_up_webhooks()
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_expired integer;
  v_old integer;
  v_deleted integer;
begin
  update public.webhook_deliveries d
    set state = 'failed', last_error = coalesce(d.last_error, 'expired'), owner = null, leased_until = null
    where (d.endpoint_id, d.event_id) in (
      select p.endpoint_id, p.event_id from public.webhook_deliveries p
      where p.state = 'pending' and p.expires_at <= now() and coalesce(p.leased_until <= now(), true)
      order by p.expires_at limit 1000 for update skip locked
    );
  get diagnostics v_expired = row_count;

  delete from private.webhook_events w
    where w.id in (
      select e.id from private.webhook_events e
      where e.occurred_at <= now() - interval '14 days'
        and not exists (select from public.webhook_deliveries d where d.event_id = e.id and d.state = 'pending')
      order by e.occurred_at limit 1000 for update skip locked
    );
  get diagnostics v_old = row_count;

  update public.webhook_endpoints e
    set config = e.config - 'previous_secret', previous_secret_ends_at = null
    where e.id in (
      select p.id from public.webhook_endpoints p
      where p.previous_secret_ends_at <= now() limit 100 for no key update skip locked
    );

  delete from public.webhook_deliveries d
    where (d.endpoint_id, d.event_id) in (
      select p.endpoint_id, p.event_id
      from public.webhook_endpoints e
      cross join lateral (
        select w.endpoint_id, w.event_id from public.webhook_deliveries w where w.endpoint_id = e.id limit 1000 for update skip locked
      ) p
      where e.deleted_at is not null
      limit 1000
    );
  get diagnostics v_deleted = row_count;
  -- Whoever writes an event just now still holds the row.
  delete from public.webhook_endpoints e
    where e.id in (
      select p.id from public.webhook_endpoints p
      where p.deleted_at is not null and not exists (select from public.webhook_deliveries d where d.endpoint_id = p.id)
      limit 1000 for update skip locked
    );
  return greatest(v_expired, v_old, v_deleted) = 1000;
end
$function$;
comment on function private.clean_up_webhooks() is 'Gives up deliveries after three days, and deletes settled ones after two weeks, and those of deleted endpoints; a bounded number of each. Returns whether there may be more.';

CREATE OR REPLACE FUNCTION private.clear_status_reason()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  new.status_reason := null;
  return new;
end
$function$;
comment on function private.clear_status_reason() is 'Clears status_reason when a row becomes active, whoever writes it.';

CREATE OR REPLACE FUNCTION private.client_of(p_row integrations)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(p_row.oauth_app_id::text, p_row.integration_type);
$function$;
comment on function private.client_of(integrations) is 'The OAuth client of an integration, as the key of what is known about a client: the id of the organization''s own app, or the type, which stands for the deployment''s.';

CREATE OR REPLACE FUNCTION private.compare_findings(p_run assessments, p_checks jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
$function$;
comment on function private.compare_findings(assessments,jsonb) is 'Compares the results of a run with the findings of its integration, and writes an event for each change. A failure opens or reopens. A pass of the same resource resolves, as does its absence where the check is complete. What could not be checked stays open and is unverified. Findings of a removed check are archived. Announced are the 100 most severe changes that are not muted and that the same check saw after it had seen something before.';

CREATE OR REPLACE FUNCTION private.connect_session_details(p_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'service_key', k.id, 'name', k.name, 'connect_session', s.id, 'external_user_id', s.external_user_id
  )
  from private.connect_sessions s
  join private.service_keys k on k.id = coalesce(s.completed_by, s.created_by)
  where s.id = p_id;
$function$;
comment on function private.connect_session_details(uuid) is 'An event''s details about a connect session: the service key behind it, and the end user.';

CREATE OR REPLACE FUNCTION private.connect_session_is_open(p_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select exists (
    select from private.connect_sessions s where s.id = p_id and s.state = 'opened' and not s.is_used and s.expires_at > now()
  );
$function$;
comment on function private.connect_session_is_open(uuid) is 'Whether the browser of a connect session may still connect an account.';

CREATE OR REPLACE FUNCTION private.connect_session_state(p_row private.connect_sessions)
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case when p_row.state in ('completed', 'failed') or p_row.expires_at > now() then p_row.state else 'expired' end;
$function$;
comment on function private.connect_session_state(private.connect_sessions) is 'The state of a connect session: pending (nobody has opened the link), opened, waiting_for_completion, completed, failed or expired.';

CREATE OR REPLACE FUNCTION private.connected_by(p_user_id uuid, p_connect_session_id uuid, p_service_key uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case
    when p_user_id is not null then jsonb_build_object('actor', 'user', 'user_id', p_user_id)
    else jsonb_build_object('actor', 'service_key')
      || coalesce(private.connect_session_details(p_connect_session_id), private.named_key(p_service_key), '{}')
  end;
$function$;
comment on function private.connected_by(uuid,uuid,uuid) is 'Who connects an account, as integrations.connected_by has it: a user, or the service key behind a connect session, or one itself.';

CREATE OR REPLACE FUNCTION private.copy_from_config()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  new.token_expires_at := private.expiry_of(new.config);
  new.granted_scopes := private.scopes_of(new.config);
  return new;
end
$function$;
comment on function private.copy_from_config() is 'Keeps token_expires_at and granted_scopes equal to the config''s expires_at and scope.';

CREATE OR REPLACE FUNCTION private.cover_checks(p_run assessments, p_claim private.scan_claims, p_checks jsonb)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.cover_checks(assessments,private.scan_claims,jsonb) is 'Writes what each check saw: fail if one fails, otherwise unknown if one is or a part was not checked, otherwise what the others are. It is complete, so that absent resources count as gone, only if nothing was left out and nothing is unknown: an unknown result may be a resource whose id the response did not contain.';

CREATE OR REPLACE FUNCTION private.delete_data_keys(p_organization_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
$function$;
comment on function private.delete_data_keys(uuid) is 'Deletes the data keys of an organization: what they have sealed opens no more, except from a backup of this table. For the owner of the database only. Returns deleted or none.';

CREATE OR REPLACE FUNCTION private.delete_old_events(p_days integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.delete_old_events(integer) is 'Deletes up to 5,000 events older than p_days days. Returns whether there may be more. Nothing else can delete an event.';

CREATE OR REPLACE FUNCTION private.drop_lease()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_lease public.credential_leases;
begin
  if not private.brings_credentials(old.config, new.config) then
    update public.credential_leases l set base = coalesce(l.base, old.config)
      where l.integration_id = old.id and (l.owner is not null or l.journal is not null);
    return null;
  end if;
  delete from public.credential_leases l where l.integration_id = old.id returning * into v_lease;
  delete from private.forbidden_checks f where f.integration_id = old.id;
  if v_lease.journal is not null then
    update public.integrations i set may_have_earlier_grant = true where i.id = old.id;
  end if;
  return null;
end
$function$;
comment on function private.drop_lease() is 'Ends a refresh lease when another writer stores other credentials: the refresh in progress used a token that is no longer stored. A refreshed config in the journal is deleted, so the row records that its grant may still exist. A writer of plaintext only keeps the lease: its change is merged into the refreshed config.';

CREATE OR REPLACE FUNCTION private.due_checks(p_limit integer, p_types text[])
 RETURNS TABLE(id uuid, turn integer)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select t.id, t.turn from private.in_turns(
    replace(
      $q$
        select d.* from (
          select u.* from unnest($1) t (kind)
          cross join lateral (
            select c.id, c.organization_id, c.next_check_at as due_at from public.integrations c
            where c.oauth_app_id is null and c.integration_type = t.kind and c.is_due
            order by c.next_check_at
            limit $4
          ) u
          union all
          (
            select c.id, c.organization_id, c.next_check_at as due_at from public.integrations c
            where c.oauth_app_id is not null and c.is_due
              and not exists (
                select from private.provider_pauses p
                where p.client = c.oauth_app_id::text and p.endpoint = 'api' and p.until > now()
              )
            order by c.next_check_at
            limit $4
          )
        ) d
        order by d.due_at
        limit $4
      $q$,
      'c.is_due',
      $q$
        c.next_check_at <= $2
        and c.scan_schedule is not null and c.next_check_at is not null and c.status in ('active', 'degraded')
        and c.organization_id <> all ($3)
        and not exists (select from private.check_claims k where k.integration_id = c.id and k.until > now())
        and not exists (
          select from private.integration_pauses p
          where p.integration_id = c.id and p.endpoint = 'api' and p.until > now()
        )
        and not exists (
          select from public.credential_leases l
          where l.integration_id = c.id and l.owner is not null and l.expires_at > now()
        )
      $q$
    ),
    p_types, now(), p_limit
  ) t;
$function$;
comment on function private.due_checks(integer,text[]) is 'The rows of these types, and of organizations'' own apps, that are due for a check, by turns of their organizations.';

CREATE OR REPLACE FUNCTION private.due_refreshes(p_limit integer, p_within integer, p_types text[])
 RETURNS TABLE(id uuid, turn integer)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select t.id, t.turn from private.in_turns(
    $q$
      select d.id, d.organization_id, d.token_expires_at as due_at from public.integrations d
      left join public.credential_leases l on l.integration_id = d.id
      where d.token_expires_at <= $2
        and d.token_expires_at is not null and d.status in ('active', 'degraded')
        and d.organization_id <> all ($3)
        and case
          when d.oauth_app_id is null then d.integration_type = any ($1)
          else not exists (
            select from private.provider_pauses p
            where p.client = d.oauth_app_id::text and p.endpoint = 'token' and p.until > now()
          )
        end
        and (l.owner is null or l.expires_at <= now())
        and coalesce(l.retry_at <= now(), true)
        -- A token that lives for less than twice p_within is refreshed after half of its life.
        and coalesce(now() >= l.settled_at + (d.token_expires_at - l.settled_at) / 2, true)
        and not exists (
          select from private.integration_pauses p
          where p.integration_id = d.id and p.endpoint = 'token' and p.until > now()
        )
      order by d.token_expires_at
      limit $4
    $q$,
    p_types, now() + make_interval(secs => p_within), p_limit
  ) t;
$function$;
comment on function private.due_refreshes(integer,integer,text[]) is 'The rows of these types, and of organizations'' own apps, whose tokens expire within p_within seconds and have lived for half of their life, by turns of their organizations.';

CREATE OR REPLACE FUNCTION private.due_scans(p_limit integer, p_types text[])
 RETURNS TABLE(id uuid, turn integer)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.due_scans(integer,text[]) is 'The runs of these types that a scanner may claim, by turns of their organizations.';

CREATE OR REPLACE FUNCTION private.end_connect_session(p_id uuid, p_integration_id uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  update private.connect_sessions s set state = 'completed', integration_id = p_integration_id
    where s.id = p_id and s.state = 'waiting_for_completion' and s.completed_by is not null;
  if not found then
    raise exception 'the connect session does not wait for its completion' using errcode = 'object_not_in_prerequisite_state';
  end if;
end
$function$;
comment on function private.end_connect_session(uuid,uuid) is 'Completes a connect session whose code and verifier were right, in the transaction that stores its integration.';

CREATE OR REPLACE FUNCTION private.end_revocation(p_row private.pending_revocations, p_outcome text, p_request_id text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  delete from private.pending_revocations r where r.id = p_row.id;
  perform private.write_event(
    'service', null, p_row.organization_id, p_row.sealed_for, p_row.integration_type, p_row.external_account_id, 'revoked', p_outcome,
    p_row.reason, p_request_id
  );
end
$function$;
comment on function private.end_revocation(private.pending_revocations,text,text) is 'Ends a revocation and records the result.';

CREATE OR REPLACE FUNCTION private.end_run(p_assessment_id uuid, p_outcome text, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.end_run(uuid,text,text) is 'Ends a run that was not judged to its end: not_run if no scanner had it, otherwise p_outcome. The integration and the claim are locked, or gone.';

CREATE OR REPLACE FUNCTION private.end_runs_of_deleted()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.end_runs_of_deleted() is 'Ends the open run of an integration that is deleted, and archives its open findings, for every writer that deletes it.';

CREATE OR REPLACE FUNCTION private.enqueue_event(p_organization_id uuid, p_integration_id uuid, p_type text, p_data jsonb, p_severity text DEFAULT NULL::text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  c_severities constant text[] := '{info,low,medium,high,critical}';
  v_endpoints uuid[];
  v_event private.webhook_events;
begin
  -- Locked, so that no endpoint's row is deleted before its delivery is written. In the order of ids, as every function that locks several rows.
  select array_agg(e.id) into v_endpoints from (
    select w.id from public.webhook_endpoints w
    where (w.organization_id = p_organization_id or w.organization_id is null) and w.enabled and (w.events is null or p_type = any (w.events))
      and (
        p_severity is null or w.min_severity is null
        or array_position(c_severities, p_severity) >= array_position(c_severities, w.min_severity)
      )
    order by w.id
    for key share
  ) e;
  if v_endpoints is null then
    return;
  end if;

  insert into private.webhook_events (organization_id, integration_id, type, data)
    values (p_organization_id, p_integration_id, p_type, p_data)
    returning * into v_event;
  -- The outbox is bounded: beyond 10,000 waiting deliveries of an endpoint the next ones are stored as failed, and can be sent again on
  -- request.
  insert into public.webhook_deliveries (endpoint_id, event_id, organization_id, integration_id, type, occurred_at, state, last_error)
    select e.id, v_event.id, e.organization_id, v_event.integration_id, v_event.type, v_event.occurred_at,
      case when b.is_full then 'failed' else 'pending' end, case when b.is_full then 'overflow' end
    from public.webhook_endpoints e
    cross join lateral (
      select count(*) >= 10000 as is_full from (
        select from public.webhook_deliveries d where d.endpoint_id = e.id and d.state = 'pending' limit 10000
      ) p
    ) b
    where e.id = any (v_endpoints);
end
$function$;
comment on function private.enqueue_event(uuid,uuid,text,jsonb,text) is 'Puts an event into the outbox in the caller''s transaction. Writes nothing if no endpoint receives it.';

CREATE OR REPLACE FUNCTION private.expiry_of(p_config jsonb)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET "DateStyle" TO 'ISO'
AS $function$
begin
  if jsonb_typeof(p_config->'expires_at') is distinct from 'string'
    or p_config->>'expires_at' !~ '^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$'
  then
    return null;
  end if;
  return (p_config->>'expires_at')::timestamptz;
exception when data_exception then
  return null;
end
$function$;
comment on function private.expiry_of(jsonb) is 'The config''s expires_at, if it is an RFC 3339 timestamp with an offset; null otherwise. Depends on its argument only, not on the session''s settings.';

CREATE OR REPLACE FUNCTION private.extend_connect_session(p_id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  update private.connect_sessions s set expires_at = least(now() + interval '10 minutes', s.created_at + interval '1 hour')
    where s.id = p_id and s.state = 'opened' and s.expires_at > now();
  return found;
end
$function$;
comment on function private.extend_connect_session(uuid) is 'Gives an opened connect session ten minutes for its next step. Returns whether the session is opened.';

CREATE OR REPLACE FUNCTION private.external_user_of(p_id uuid)
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select s.external_user_id from private.connect_sessions s where s.id = p_id;
$function$;
comment on function private.external_user_of(uuid) is 'The end user of a connect session.';

CREATE OR REPLACE FUNCTION private.fail_refresh(p_id uuid, p_owner uuid, p_generation bigint, p_fault text, p_retry_after integer, p_refusal jsonb, p_user_id uuid, p_request_id text, p_service_key uuid)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_ended text;
  v_row public.integrations;
  v_lease public.credential_leases;
  v_reason text := p_fault;
  v_has_expired boolean;
begin
  v_ended := private.lock_lease(p_id, p_owner, p_generation);
  -- The config was rewritten since the claim: the refused token is not the one that is stored now.
  if v_ended is not null then
    return v_ended;
  end if;
  select * into v_row from public.integrations i where i.id = p_id;
  v_has_expired := coalesce(v_row.token_expires_at <= now(), false);

  if p_fault = 'refused' and p_refusal is not null and v_has_expired then
    update public.credential_leases l
      set refused_as = p_refusal->>'alike',
        refused_since = case when l.refused_as = p_refusal->>'alike' then l.refused_since else now() end,
        refusals = case when l.refused_as = p_refusal->>'alike' then l.refusals + 1 else 1 end
      where l.integration_id = p_id;
  end if;
  select * into v_lease from public.credential_leases l where l.integration_id = p_id;

  v_ended := case
    when p_fault = 'released' then 'released'
    when p_fault in ('invalid_grant', 'invalid_client') then 'reconnect_required'
    when p_fault = 'not_refreshable' and v_has_expired then 'reconnect_required'
    when p_fault = 'refused' and v_has_expired
      and v_lease.refusals >= (p_refusal->>'tries')::integer
      and v_lease.refused_since <= now() - interval '1 day'
      and (
        not (p_refusal->>'may_be_ours')::boolean
        or private.has_succeeded(private.client_of(v_row), 'refresh', v_lease.refused_since)
      )
      then 'reconnect_required'
    else 'backed_off'
  end;
  update public.credential_leases l
    set owner = null, expires_at = null, attempted_at = null, ended_by = p_owner, ended_as = v_ended,
      unknown_outcomes = l.unknown_outcomes + (p_fault = 'outcome_unknown')::integer,
      failures = l.failures + (v_ended = 'backed_off')::integer,
      failed_at = case when p_fault in ('released', 'not_refreshable') then l.failed_at else now() end,
      retry_at = case
        when v_ended <> 'backed_off' then l.retry_at
        when p_fault = 'not_refreshable' then coalesce(v_row.token_expires_at, 'infinity')
        else now() + make_interval(
          secs => greatest(least(30 * 2 ^ least(l.failures, 7), 3600), least(coalesce(p_retry_after, 0), 86400))
        )
      end
    where l.integration_id = p_id;

  if p_fault in ('released', 'not_refreshable') and v_ended <> 'reconnect_required' then
    return v_ended;
  end if;
  if v_ended = 'reconnect_required' then
    -- The grant ended after a redemption whose response was lost. That may be the cause: a provider that sees a token twice treats it
    -- as stolen.
    v_reason := case
      when p_fault = 'invalid_grant' and v_lease.unknown_outcomes > 0 then 'refresh_lost'
      when p_fault = 'refused' then 'refresh_refused'
      else p_fault
    end;
    update public.integrations i set status = 'reconnect_required', status_reason = v_reason where i.id = p_id;
  elsif v_row.status = 'active' and (v_has_expired or p_fault = 'unreadable') then
    -- Its token has expired, or its config does not open: it does not work now, but may again.
    update public.integrations i
      set status = 'degraded', status_reason = case when p_fault in ('unreadable', 'app_unreadable') then p_fault else 'refresh_failed' end
      where i.id = p_id;
  end if;
  perform private.record_refresh_event(
    v_row, p_user_id, p_service_key, 'refresh_failed', case v_ended when 'backed_off' then 'failed' else v_ended end, v_reason, p_request_id
  );
  return v_ended;
end
$function$;
comment on function private.fail_refresh(uuid,uuid,bigint,text,integer,jsonb,uuid,text,uuid) is 'p_fault: outcome_unknown (the provider may have redeemed the token: no answer, or an unreadable one), refused (it has not, and may later), unreadable (the stored config does not open), app_unreadable (the secret of the organization''s own app does not open), invalid_grant (the token is no longer valid), invalid_client (the user''s own client is no longer valid, or may not have tokens), not_refreshable (there is no refresh token), released (the provider was not asked). p_refusal describes a refusal: {"alike", "may_be_ours", "tries"}. After the token has expired, equal refusals are counted. Once there are as many as tries, the first of them more than a day old, the grant counts as ended. If our client or the endpoint may be the cause, every connection of the client would be refused: then another one must have been refreshed since the first.';

CREATE OR REPLACE FUNCTION private.fence_is_up()
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select exists (select from private.fence f where f.id is not null)
    and exists (
      select from pg_catalog.pg_trigger t
      where t.tgrelid = 'public.integrations'::regclass and t.tgname = 'refuse_fenced_key' and t.tgenabled in ('O', 'A')
    );
$function$;
comment on function private.fence_is_up() is 'Whether the fence is declared and its trigger enabled.';

CREATE OR REPLACE FUNCTION private.finding_data(p_finding findings, p_assessment_id uuid, p_cause text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.finding_data(findings,uuid,text) is 'A webhook event''s data about a finding, of bounded size. The evidence is read from the API.';

CREATE OR REPLACE FUNCTION private.finding_identity(p_account_id text, p_check_id text, p_resource_type text, p_resource_id text, p_item text)
 RETURNS bytea
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select substr(sha256(convert_to(jsonb_build_array(p_account_id, p_check_id, p_resource_type, p_resource_id, p_item)::text, 'UTF8')), 1, 16);
$function$;
comment on function private.finding_identity(text,text,text,text,text) is 'The identity of a finding across runs: the first half of a SHA-256, because a provider''s ids may be too long for an index.';

CREATE OR REPLACE FUNCTION private.fits_after_refresh(p_config jsonb)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select octet_length(p_config::text) <= 196608;
$function$;
comment on function private.fits_after_refresh(jsonb) is 'Whether a refreshed config would still fit: with tokens of 16 KiB each it is at most 256 KiB.';

CREATE OR REPLACE FUNCTION private.forget_oauth_app()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if private.brings_credentials(old.config, new.config) then
    new.oauth_app_id := null;
  end if;
  return new;
end
$function$;
comment on function private.forget_oauth_app() is 'A writer that does not know the column stores a grant of the deployment''s app.';

CREATE OR REPLACE FUNCTION private.grant_is_shared(p_integration_type text, p_oauth_app_id uuid, p_external_account_id text, p_user_id uuid, p_organization_id uuid, p_external_user_id text)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select exists (
    select from public.integrations i
    where i.integration_type = p_integration_type and i.external_account_id = p_external_account_id
      and private.same_client(i.oauth_app_id, p_oauth_app_id)
  ) or exists (
    select from public.credential_events e
    join public.integrations i on i.id = e.integration_id
    where e.user_id = p_user_id and e.integration_type = p_integration_type and e.action in ('connected', 'reconnected')
      and private.same_client(i.oauth_app_id, p_oauth_app_id)
  ) or exists (
    select from public.integrations i
    where i.organization_id = p_organization_id and i.external_user_id = p_external_user_id
      and i.integration_type = p_integration_type
      and private.same_client(i.oauth_app_id, p_oauth_app_id)
  );
$function$;
comment on function private.grant_is_shared(text,uuid,text,uuid,uuid,text) is 'Whether an integration uses this grant. A provider may know one grant for a user and an app, so it looks, among the integrations of this app, for the same account, and for the same user here, or the same end user of the organization''s backend, whose other account may be part of that grant.';

CREATE OR REPLACE FUNCTION private.has_access(p_user_id uuid, p_service_key uuid, p_scope text, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case
    when p_service_key is not null then private.service_key_covers(p_service_key, p_scope, p_organization_id)
    else private.is_member(p_user_id, p_organization_id)
  end;
$function$;
comment on function private.has_access(uuid,uuid,text,uuid) is 'Whether a caller may see what an organization has: a service key with the scope, or without one a user who is a member.';

CREATE OR REPLACE FUNCTION private.has_succeeded(p_client text, p_act text, p_since timestamp with time zone)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select exists (
    select from private.provider_successes s where s.client = p_client and s.act = p_act and s.at > p_since
  );
$function$;
comment on function private.has_succeeded(text,text,timestamp with time zone) is 'Whether a connection of the client has had a success since then.';

CREATE OR REPLACE FUNCTION private.has_write_access(p_user_id uuid, p_service_key uuid, p_scope text, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case
    when p_service_key is not null then private.service_key_covers(p_service_key, p_scope, p_organization_id)
    else private.may_change(p_user_id, p_organization_id)
  end;
$function$;
comment on function private.has_write_access(uuid,uuid,text,uuid) is 'Whether a caller may change what an organization has: a service key with the scope, or without one a user who is an admin.';

CREATE OR REPLACE FUNCTION private.health_of(p_row integrations)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'status', p_row.status,
    'status_reason', p_row.status_reason,
    'last_checked_at', p_row.last_checked_at,
    'next_check_at', p_row.next_check_at
  );
$function$;
comment on function private.health_of(integrations) is 'The result of a check as the API returns it.';

CREATE OR REPLACE FUNCTION private.holds_secrets(p_config jsonb)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.holds_secrets(jsonb) is 'Whether a config without a key id holds a field with a sensitive name (docs/format.md) that is not null, at any depth.';

CREATE OR REPLACE FUNCTION private.in_turns(p_due text, p_types text[], p_until timestamp with time zone, p_limit integer)
 RETURNS TABLE(id uuid, turn integer)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_seqscan TO 'off'
AS $function$
declare
  c_share constant integer := greatest(1, p_limit / 10);
  -- More than are claimed: several workers see the same first rows, and each takes those that the others have not locked.
  v_size integer := p_limit * 4;
  v_left_out uuid[] := '{}';
  v_window record;
begin
  for pass in 1..8 loop
    -- Executed as text, so that it is planned with the actual values.
    execute format(
      $q$
        with seen as (%s), ranked as (
          select s.id, s.organization_id, row_number() over (partition by s.organization_id order by s.due_at)::integer as turn
          from seen s
        )
        select count(*) as rows, coalesce(array_agg(r.organization_id) filter (where r.turn = $5), '{}') as full_shares,
          coalesce(array_agg(r.id) filter (where $6 or r.turn <= $5), '{}') as ids,
          coalesce(array_agg(r.turn) filter (where $6 or r.turn <= $5), '{}') as turns
        from ranked r
      $q$,
      p_due
    ) into v_window using p_types, p_until, v_left_out, v_size, c_share, pass = 1;
    return query select w.id, w.turn from unnest(v_window.ids, v_window.turns) w (id, turn);
    v_left_out := v_left_out || v_window.full_shares;
    exit when v_window.rows < v_size or cardinality(v_window.full_shares) = 0;
    v_size := 10000;
  end loop;
end
$function$;
comment on function private.in_turns(text,text[],timestamp with time zone,integer) is 'Reads due rows, the longest due first, a window at a time. An organization that fills its share of a window is left out of the next ones, so the rows of others are found behind its backlog. Windows are bounded in size and number. Returns each row''s id and its turn within its organization. p_due is a query of this schema''s functions, never text from outside. It returns id, organization_id and due_at of rows of the types $1 that are due until $2, without the organizations $3, the first $4 by due_at.';

CREATE OR REPLACE FUNCTION private.is_member(p_user_id uuid, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(p_organization_id = any (private.organizations_of(p_user_id)), false);
$function$;
comment on function private.is_member(uuid,uuid) is 'Whether a user may access an organization.';

CREATE OR REPLACE FUNCTION private.is_owner(p_user_id uuid, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(private.role_of(p_user_id, p_organization_id) = 'owner', false);
$function$;
comment on function private.is_owner(uuid,uuid) is 'Whether a user owns an organization: the personal one, or one that has the user as its owner.';

CREATE OR REPLACE FUNCTION private.is_usable(p_row integrations, p_soon integer)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(p_row.token_expires_at > now() + make_interval(secs => p_soon), true) and not exists (
    select from public.credential_leases l where l.integration_id = p_row.id and l.journal is not null
  );
$function$;
comment on function private.is_usable(integrations,integer) is 'Whether the stored access token is valid for p_soon more seconds, and no newer one is in the journal.';

CREATE OR REPLACE FUNCTION private.lock_access(p_user_id uuid, p_service_key uuid, p_scope text, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case
    when p_service_key is not null then private.service_key_covers(p_service_key, p_scope, p_organization_id)
    else private.lock_admin(p_user_id, p_organization_id)
  end;
$function$;
comment on function private.lock_access(uuid,uuid,text,uuid) is 'Like has_write_access, for a function that is about to write: neither a membership nor its role can change before the caller''s transaction ends.';

CREATE OR REPLACE FUNCTION private.lock_admin(p_user_id uuid, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if not private.lock_membership(p_user_id, p_organization_id) then
    return false;
  end if;
  -- A statement of its own, so that it sees the role that was committed while the lock was awaited.
  return private.may_change(p_user_id, p_organization_id);
end
$function$;
comment on function private.lock_admin(uuid,uuid) is 'Like may_change, for a function that is about to write: neither the membership nor its role can change before the caller''s transaction ends.';

CREATE OR REPLACE FUNCTION private.lock_connector(p_user_id uuid, p_connect_session_id uuid, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if p_connect_session_id is null then
    return private.lock_admin(p_user_id, p_organization_id);
  end if;
  perform from private.connect_sessions s
    where s.id = p_connect_session_id and s.organization_id = p_organization_id and p_user_id is null
    for update;
  return found;
end
$function$;
comment on function private.lock_connector(uuid,uuid,uuid) is 'Whether this user, or this connect session, may connect for the organization. Locks the membership, or the session.';

CREATE OR REPLACE FUNCTION private.lock_endpoint(p_id uuid, p_user_id uuid, p_service_key uuid)
 RETURNS webhook_endpoints
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.webhook_endpoints;
begin
  select * into v_row from public.webhook_endpoints e where e.id = p_id and e.deleted_at is null;
  if not found or not private.lock_endpoints_of(v_row.organization_id, p_user_id, p_service_key) then
    return null;
  end if;
  -- The organization again: it is the one whose membership is locked.
  select * into v_row from public.webhook_endpoints e
    where e.id = p_id and e.organization_id is not distinct from v_row.organization_id and e.deleted_at is null
    for no key update;
  return v_row;
end
$function$;
comment on function private.lock_endpoint(uuid,uuid,uuid) is 'Locks and returns an endpoint if the caller has access to its organization; null otherwise.';

CREATE OR REPLACE FUNCTION private.lock_endpoints_of(p_organization_id uuid, p_user_id uuid, p_service_key uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if p_organization_id is null then
    return private.service_key_covers_all(p_service_key, 'webhooks:manage');
  end if;
  return private.lock_access(p_user_id, p_service_key, 'webhooks:manage', p_organization_id);
end
$function$;
comment on function private.lock_endpoints_of(uuid,uuid,uuid) is 'Whether a caller may manage the endpoints of an organization, like lock_access; null: those of the whole deployment.';

CREATE OR REPLACE FUNCTION private.lock_lease(p_id uuid, p_owner uuid, p_generation bigint)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_lease public.credential_leases;
begin
  perform from public.integrations i where i.id = p_id for no key update;
  if not found then
    return 'gone';
  end if;
  select * into v_lease from public.credential_leases l
    where l.integration_id = p_id and l.generation = p_generation for update;
  if v_lease.owner = p_owner then
    return null;
  end if;
  return case when v_lease.ended_by = p_owner then v_lease.ended_as else 'changed' end;
end
$function$;
comment on function private.lock_lease(uuid,uuid,bigint) is 'Locks the integration, then its lease. Returns null if the caller holds the lease, otherwise why not: gone, changed (the config was rewritten or the lease taken over), or how the caller ended this lease earlier.';

CREATE OR REPLACE FUNCTION private.lock_membership(p_user_id uuid, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform from public.organization_members m
    where m.organization_id = p_organization_id and m.user_id = p_user_id
    for share;
  return private.is_member(p_user_id, p_organization_id);
end
$function$;
comment on function private.lock_membership(uuid,uuid) is 'Like is_member, for a function that is about to write: the membership cannot end before the caller''s transaction does.';

CREATE OR REPLACE FUNCTION private.lock_names(p_organization_id uuid, p_integration_type text)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select pg_advisory_xact_lock(hashtextextended('names ' || p_organization_id || ' ' || p_integration_type, 0));
$function$;
comment on function private.lock_names(uuid,text) is 'Serializes the choice of a name within an organization and type. It is called before any row lock. There is no unique index because an earlier application may have used a name twice.';

CREATE OR REPLACE FUNCTION private.lock_oauth_app(p_id uuid, p_user_id uuid, p_service_key uuid)
 RETURNS private.oauth_apps
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.oauth_apps;
begin
  select * into v_row from private.oauth_apps a where a.id = p_id;
  if not found or not private.lock_access(p_user_id, p_service_key, 'connections:write', v_row.organization_id) then
    return null;
  end if;
  select * into v_row from private.oauth_apps a where a.id = p_id for update;
  return v_row;
end
$function$;
comment on function private.lock_oauth_app(uuid,uuid,uuid) is 'Locks and returns an app if the caller may change what its organization has; null otherwise.';

CREATE OR REPLACE FUNCTION private.lock_run(p_id uuid, p_owner uuid, p_generation bigint)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.lock_run(uuid,uuid,bigint) is 'Locks a run''s integration, then its claim. Null if the caller holds it; otherwise why not: gone (the integration was deleted), changed (another scanner has it, or it ended), or finished (the caller finished it earlier).';

CREATE OR REPLACE FUNCTION private.mark_unverified(p_integration_id uuid, p_assessment_id uuid, p_reason text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.mark_unverified(uuid,uuid,text) is 'Marks the open findings of an integration that no run could check. Their state stays.';

CREATE OR REPLACE FUNCTION private.may_change(p_user_id uuid, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_role text := private.role_of(p_user_id, p_organization_id);
begin
  if v_role = 'member' then
    raise exception 'the user may only see what the organization has' using
      errcode = 'IK002', hint = 'an owner can change the role in organization_members';
  end if;
  return v_role is not null;
end
$function$;
comment on function private.may_change(uuid,uuid) is 'Whether a user may change what an organization has, as its admin or owner. False: the user is no member. The role member raises IK002, so that no function can take it for another outcome; the worker answers 403 not_an_admin.';

CREATE OR REPLACE FUNCTION private.may_write_with(p_kid text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform from public.key_registry k where k.kid = p_kid and k.state = 'allowed' for share;
  if found then
    return true;
  end if;
  -- If a trigger is enabled without a declaration (by ALTER TABLE ... ENABLE TRIGGER ALL after a restore, for example), it rejects nothing.
  perform from private.fence f where f.id is null for share;
  return found;
end
$function$;
comment on function private.may_write_with(text) is 'Whether the fence lets a key write: always, if it is not declared. The rows that it reads stay locked FOR SHARE until the writer ends, so the answer cannot change under it.';

CREATE OR REPLACE FUNCTION private.merged(p_refreshed jsonb, p_base jsonb, p_current jsonb)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case
    when p_base is null then p_refreshed
    else (
      select p_refreshed
        - coalesce(array_agg(m.member) filter (where not p_current ? m.member), '{}')
        || coalesce(jsonb_object_agg(m.member, p_current -> m.member) filter (where p_current ? m.member), '{}')
      from (select jsonb_object_keys(p_base) union select jsonb_object_keys(p_current)) m (member)
      where p_current -> m.member is distinct from p_base -> m.member
        and p_refreshed -> m.member is not distinct from p_base -> m.member
        -- A rotation may have sealed the current config with another key.
        and m.member <> '_enc'
        and not private.holds_secrets(jsonb_build_object(m.member, p_base -> m.member))
        and not private.holds_secrets(jsonb_build_object(m.member, p_current -> m.member))
    )
  end;
$function$;
comment on function private.merged(jsonb,jsonb,jsonb) is 'A refreshed config with the plaintext that other writers have changed since the claim: each member of p_current that differs from p_base, unless the refresh changed it too. Without p_base nothing has changed.';

CREATE OR REPLACE FUNCTION private.my_organizations()
 RETURNS uuid[]
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select private.organizations_of(auth.uid());
$function$;
comment on function private.my_organizations() is 'The organizations of the signed-in user.';
grant execute on function private.my_organizations() to authenticated;

CREATE OR REPLACE FUNCTION private.named_key(p_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object('service_key', k.id, 'name', k.name) from private.service_keys k where k.id = p_id;
$function$;
comment on function private.named_key(uuid) is 'An event''s details about a service key; null without one.';

CREATE OR REPLACE FUNCTION private.newest_config(p_row integrations)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(
    (select private.merged(l.journal, l.base, p_row.config) from public.credential_leases l where l.integration_id = p_row.id),
    p_row.config
  );
$function$;
comment on function private.newest_config(integrations) is 'The newest credential of an integration: the result of a refresh that could not be written yet, otherwise the config.';

CREATE OR REPLACE FUNCTION private.note_pending_reseal()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.note_pending_reseal() is 'Keeps in pending_reseals which integrations are not sealed with their organization''s current data key.';

CREATE OR REPLACE FUNCTION private.note_success(p_client text, p_act text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform from private.provider_successes s
    where s.client = p_client and s.act = p_act and s.at > now() - interval '10 minutes';
  if found then
    return;
  end if;
  update private.provider_successes s set at = now()
    where (s.client, s.act) in (
      select o.client, o.act from private.provider_successes o
      where o.client = p_client and o.act = p_act
      for update skip locked
    );
  if not found then
    insert into private.provider_successes (client, act) values (p_client, p_act) on conflict do nothing;
  end if;
end
$function$;
comment on function private.note_success(text,text) is 'Records a success. It never waits for a lock: a concurrent caller records the same.';

CREATE OR REPLACE FUNCTION private.oauth_app(p_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(
    (
      select jsonb_build_object(
        'oauth_app', jsonb_build_object('id', a.id, 'client_id', a.client_id, 'slug', a.slug, 'config', a.config)
      )
      from private.oauth_apps a where a.id = p_id
    ),
    '{}'
  );
$function$;
comment on function private.oauth_app(uuid) is 'What an answer says of the app of a grant: the member oauth_app, as the worker needs it to authenticate as its client, with its sealed secrets; nothing for the deployment''s app.';

CREATE OR REPLACE FUNCTION private.open_run(p_row integrations, p_trigger text, p_slot timestamp with time zone, p_user_id uuid)
 RETURNS uuid
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.open_run(integrations,text,timestamp with time zone,uuid) is 'Queues a run of a locked integration. Null: one is open already.';

CREATE OR REPLACE FUNCTION private.opened_connect_session(p_row private.connect_sessions)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', p_row.id,
    'state', private.connect_session_state(p_row),
    'is_used', p_row.is_used,
    'organization_id', p_row.organization_id,
    'external_user_id', p_row.external_user_id,
    'external_user_name', p_row.external_user_name,
    'integration_types', to_jsonb(p_row.integration_types),
    'reconnects', p_row.reconnects,
    'account_id', (select private.account_of(i) from public.integrations i where i.id = p_row.reconnects),
    'return', private.return_of(p_row.id),
    'scopes', p_row.scopes,
    'oauth_apps', p_row.oauth_apps,
    'expires_at', p_row.expires_at,
    'pending', (
      select jsonb_build_object('id', p.id, 'integration_type', p.integration_type, 'accounts', p.accounts)
      from public.pending_connections p
      where p.connect_session_id = p_row.id and p.accounts is not null and p.expires_at > now() and p_row.state = 'opened'
      order by p.created_at limit 1
    )
  );
$function$;
comment on function private.opened_connect_session(private.connect_sessions) is 'A connect session as the worker needs it for the browser that opened the link, with the accounts to choose from, if any.';

CREATE OR REPLACE FUNCTION private.organizations_of(p_user_id uuid)
 RETURNS uuid[]
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select array(
    select p_user_id where p_user_id is not null
    union all
    select m.organization_id from public.organization_members m where m.user_id = p_user_id
  );
$function$;
comment on function private.organizations_of(uuid) is 'The organizations a user may access: the personal one, whose id is the user''s, and those the user is a member of. Nothing else in a token counts, because users can edit their own user_metadata.';

CREATE OR REPLACE FUNCTION private.pause(p_row integrations, p_endpoint text, p_until timestamp with time zone, p_organizations integer)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_client text := private.client_of(p_row);
  v_until timestamptz;
begin
  if p_organizations not between 1 and 100 then
    raise exception 'p_organizations is not between 1 and 100' using errcode = 'invalid_parameter_value';
  end if;
  insert into private.integration_pauses as p (integration_id, endpoint, organization_id, client, until)
    values (p_row.id, p_endpoint, p_row.organization_id, v_client, least(p_until, now() + interval '1 hour'))
    on conflict (integration_id, endpoint) do update set
      organization_id = excluded.organization_id,
      client = excluded.client,
      noted_at = now(),
      until = greatest(p.until, excluded.until);

  select o.until into v_until
    from (
      select max(p.until) as until from private.integration_pauses p
      where p.client = v_client and p.endpoint = p_endpoint
        and p.noted_at > now() - interval '10 minutes' and p.until > now()
      group by p.organization_id
    ) o
    where p_organizations is not null
    order by o.until desc
    -- An organization's own app has only that one.
    offset case when p_row.oauth_app_id is null then p_organizations else 1 end - 1 limit 1;
  if v_until is not null then
    insert into private.provider_pauses as p (client, endpoint, until)
      values (v_client, p_endpoint, v_until)
      on conflict (client, endpoint) do update set until = greatest(p.until, excluded.until)
      returning p.until into v_until;
  end if;
  return v_until;
end
$function$;
comment on function private.pause(integrations,text,timestamp with time zone,integer) is 'Stores the pause of a locked integration, an hour at most, and if so many organizations are paused that of its client. Returns until when the client is paused, or null.';

CREATE OR REPLACE FUNCTION private.paused_until(p_id uuid, p_client text, p_endpoint text)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select greatest(
    (select p.until from private.provider_pauses p
      where p.client = p_client and p.endpoint = p_endpoint and p.until > now()),
    (select p.until from private.integration_pauses p
      where p.integration_id = p_id and p.endpoint = p_endpoint and p.until > now())
  );
$function$;
comment on function private.paused_until(uuid,text,text) is 'When the worker may ask the provider again for an integration of this client (private.client_of); null: now.';

CREATE OR REPLACE FUNCTION private.queue_replaced(p_row integrations)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_config jsonb := private.newest_config(p_row);
  v_lease record;
begin
  select l.generation, l.expires_at into v_lease from public.credential_leases l where l.integration_id = p_row.id and l.owner is not null;
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, external_user_id, config, reason,
    refresh_generation, next_attempt_at
  ) values (
    md5(p_row.id || v_config::text)::uuid, p_row.organization_id, p_row.id, p_row.integration_type, p_row.oauth_app_id,
    private.account_of(p_row),
    (
      select e.user_id from public.credential_events e
      where e.integration_id = p_row.id and e.action in ('connected', 'reconnected') order by e.id desc limit 1
    ),
    p_row.external_user_id, v_config, 'replaced', v_lease.generation, coalesce(v_lease.expires_at, now())
  )
  on conflict (id) do nothing;
end
$function$;
comment on function private.queue_replaced(integrations) is 'Queues the credential of an integration for revocation because another grant replaces it. While a refresh of it is in progress, the revocation waits for the tokens that the refresh returns, at most until its lease expires. The same credential is queued once.';

CREATE OR REPLACE FUNCTION private.raise_fenced(p_what text, p_kid text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  raise exception '% is not sealed with a key that may write now', p_what using
    errcode = 'IK001',
    detail = 'key id: ' || case when p_kid ~ '^[0-9a-f]{16}$' then p_kid else 'none' end,
    hint = 'a key rotation has fenced this key out: seal with the current ENCRYPTION_KEY and write again';
end
$function$;
comment on function private.raise_fenced(text,text) is 'Raises IK001.';

CREATE OR REPLACE FUNCTION private.record_ended_connection()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  insert into private.ended_connections (id) values (old.id) on conflict (id) do nothing;
  return null;
end
$function$;
comment on function private.record_ended_connection() is 'Records that a pending connection has ended, whether it was stored, given up or expired.';

CREATE OR REPLACE FUNCTION private.record_ended_rotations()
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.record_ended_rotations() is 'Writes the events of a rotation that was killed before it could, a part at a time. Returns whether there may be more.';

CREATE OR REPLACE FUNCTION private.record_not_run(p_row integrations, p_slot timestamp with time zone, p_reason text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.record_not_run(integrations,timestamp with time zone,text) is 'Records a slot of the schedule without a run, so that the gap is visible.';

CREATE OR REPLACE FUNCTION private.record_refresh_event(p_row integrations, p_user_id uuid, p_service_key uuid, p_action text, p_outcome text, p_reason text, p_request_id text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, p_row.organization_id, p_row.id, p_row.integration_type,
    p_row.external_account_id, p_action, p_outcome, p_reason, p_request_id, private.named_key(p_service_key)
  );
end
$function$;
comment on function private.record_refresh_event(integrations,uuid,uuid,text,text,text,text) is 'Records how a refresh ended.';

CREATE OR REPLACE FUNCTION private.record_rotated(p_part integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.record_rotated(integer) is 'Writes the event rotated for each organization of one part (0 to 15) whose rows rewrap_write has written since the last call. Returns the number of events.';

CREATE OR REPLACE FUNCTION private.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if tg_op = 'DELETE' and current_setting('integrations.deletes_old_events', true) = 'on' then
    return null;
  end if;
  raise exception '% is append-only', tg_table_name using errcode = 'insufficient_privilege';
end
$function$;
comment on function private.refuse_change() is 'Rejects changes to an append-only table, also by its owner.';

CREATE OR REPLACE FUNCTION private.refuse_fenced_key()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.refuse_fenced_key() is 'The fence: rejects a write (IK001) that is not sealed with a key that may write.';

CREATE OR REPLACE FUNCTION private.refuse_fenced_wrapping()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if not private.may_write_with(new.wrapping_kid) then
    perform private.raise_fenced('a data key', new.wrapping_kid);
  end if;
  return new;
end
$function$;
comment on function private.refuse_fenced_wrapping() is 'The fence, for data keys: rejects one (IK001) that is not wrapped by a key that may write.';

CREATE OR REPLACE FUNCTION private.refuse_missing_data_key()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.refuse_missing_data_key() is 'Rejects a write (IK004) whose secrets nobody could open, because their data key was deleted. The key stays locked FOR KEY SHARE until the writer ends.';

CREATE OR REPLACE FUNCTION private.refuse_young_deletions()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if exists (select from deleted d where d.occurred_at > now() - interval '30 days') then
    raise exception '% keeps everything for 30 days at least', tg_table_name using errcode = 'insufficient_privilege';
  end if;
  return null;
end
$function$;
comment on function private.refuse_young_deletions() is 'Rejects the deletion of an event younger than 30 days, whatever the retention says.';

CREATE OR REPLACE FUNCTION private.remember_checks(p_run assessments)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.remember_checks(assessments) is 'Stores the state of each check after a run, for the next one.';

CREATE OR REPLACE FUNCTION private.rename_checks(p_organization_id uuid, p_checks jsonb)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_nestloop TO 'on'
AS $function$
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
$function$;
comment on function private.rename_checks(uuid,jsonb) is 'Gives an organization''s findings and mutes the present ids of their checks, so that a renamed check neither opens nor ends one.';

CREATE OR REPLACE FUNCTION private.return_of(p_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object('id', s.id, 'return_url', s.return_url, 'return_state', s.return_state)
  from private.connect_sessions s where s.id = p_id;
$function$;
comment on function private.return_of(uuid) is 'Where the browser of a connect session is redirected to in the end.';

CREATE OR REPLACE FUNCTION private.revocation_claim(p_row private.pending_revocations)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'sealed_for', p_row.sealed_for,
    'integration_type', p_row.integration_type,
    'config', p_row.config::text
  ) || private.oauth_app(p_row.oauth_app_id);
$function$;
comment on function private.revocation_claim(private.pending_revocations) is 'What the worker needs for a revocation. The config is returned as text, so that one that the worker cannot read does not affect the others.';

CREATE OR REPLACE FUNCTION private.role_of(p_user_id uuid, p_organization_id uuid)
 RETURNS text
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case
    when p_organization_id = p_user_id then 'owner'
    else (
      select m.role from public.organization_members m where m.organization_id = p_organization_id and m.user_id = p_user_id
    )
  end;
$function$;
comment on function private.role_of(uuid,uuid) is 'A user''s role in an organization: owner of the personal one, otherwise that of the membership. Null: the user is no member.';

CREATE OR REPLACE FUNCTION private.same_client(p_one uuid, p_other uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select p_one is not distinct from p_other or exists (
    select from private.oauth_apps a join private.oauth_apps b using (integration_type, client_id)
    where a.id = p_one and b.id = p_other
  );
$function$;
comment on function private.same_client(uuid,uuid) is 'Whether two apps are one client at the provider. Several organizations may have added the same client.';

CREATE OR REPLACE FUNCTION private.schedule_next_check()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if new.status in ('reconnect_required', 'revoked') then
    new.next_check_at := null;
  elsif old.status in ('reconnect_required', 'revoked') then
    new.next_check_at := coalesce(new.next_check_at, now());
  end if;
  return new;
end
$function$;
comment on function private.schedule_next_check() is 'Stops scheduled checks of an integration that needs a reconnection, and makes it due once it is reconnected. Rows without a schedule are left alone: an earlier application may use next_check_at itself.';

CREATE OR REPLACE FUNCTION private.scopes_of(p_config jsonb)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select case
    when jsonb_typeof(p_config->'scope') = 'string' and octet_length(p_config->>'scope') between 1 and 8192
      then string_to_array(p_config->>'scope', ' ')
  end;
$function$;
comment on function private.scopes_of(jsonb) is 'The config''s scope (RFC 6749, 3.3), if it is a text within bounds; null otherwise.';

CREATE OR REPLACE FUNCTION private.sealed_elsewhere()
 RETURNS TABLE(name text, kid text, rows bigint)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select s.name, s.config -> '_enc' ->> 'kid', count(*)
  from private.sealed_elsewhere_rows() s
  where s.config ? '_enc' and s.config -> '_enc' -> 'v' is distinct from '3'
  group by 1, 2
  union all
  select 'data_keys', d.wrapping_kid, count(*) from private.data_keys d group by 2;
$function$;
comment on function private.sealed_elsewhere() is 'How many rows outside integrations a key of the deployment opens, by table and key id. What a data key has sealed is not among them: the data key is.';

CREATE OR REPLACE FUNCTION private.sealed_elsewhere_rows()
 RETURNS TABLE(name text, id uuid, organization_id uuid, sealed_for uuid, config jsonb)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.sealed_elsewhere_rows() is 'The rows outside integrations that hold something sealed: refreshed credentials that are not written yet, the PKCE verifiers of authorization requests, pending connections and revocations, webhook secrets, secrets of OAuth apps. sealed_for is the id that their values are bound to.';

CREATE OR REPLACE FUNCTION private.sealed_with_data_keys(p_organization_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.sealed_with_data_keys(uuid) is 'What delete_data_keys would make unreadable: the number of an organization''s data keys, and of rows that they have sealed, by table.';

CREATE OR REPLACE FUNCTION private.sealing_organization(p_organization_id uuid)
 RETURNS uuid
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(p_organization_id, '00000000-0000-0000-0000-000000000000');
$function$;
comment on function private.sealing_organization(uuid) is 'The organization to which an endpoint''s secrets are bound: its own, or the nil UUID for one of the whole deployment.';

CREATE OR REPLACE FUNCTION private.service_key_covers(p_id uuid, p_scope text, p_organization_id uuid)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select exists (
    select from private.service_keys k
    where k.id = p_id and k.revoked_at is null and coalesce(k.expires_at > now(), true) and p_scope = any (k.scopes)
      and coalesce(k.organization_id = p_organization_id, p_organization_id is not null)
  );
$function$;
comment on function private.service_key_covers(uuid,text,uuid) is 'Whether a service key is valid, has the scope and may act for the organization.';

CREATE OR REPLACE FUNCTION private.service_key_covers_all(p_id uuid, p_scope text)
 RETURNS boolean
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select exists (
    select from private.service_keys k
    where k.id = p_id and k.revoked_at is null and coalesce(k.expires_at > now(), true) and p_scope = any (k.scopes) and k.organization_id is null
  );
$function$;
comment on function private.service_key_covers_all(uuid,text) is 'Whether a service key is valid, has the scope and acts for all organizations.';

CREATE OR REPLACE FUNCTION private.set_updated_at()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  new.updated_at := now();
  return new;
end
$function$;
comment on function private.set_updated_at() is 'Sets updated_at. A rewrap, which sets integrations.rewrap, leaves it unchanged.';

CREATE OR REPLACE FUNCTION private.settle_check(p_id uuid, p_version text, p_status text, p_reason text, p_forbidden_days integer, p_schedule text, p_next_check_at timestamp with time zone, p_user_id uuid, p_request_id text, p_scan_types text[], p_service_key uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_old public.integrations;
  v_row public.integrations;
  v_since timestamptz;
  v_slot timestamptz;
begin
  select * into v_old from public.integrations i where i.id = p_id for no key update;
  if not found
    or (coalesce(p_user_id, p_service_key) is not null and not private.has_access(p_user_id, p_service_key, 'connections:write', v_old.organization_id))
  then
    return jsonb_build_object('end', 'gone');
  end if;

  -- A schedule that was changed since the claim has its own next time.
  if v_old.scan_schedule is null or v_old.scan_schedule is distinct from p_schedule then
    p_next_check_at := v_old.next_check_at;
  end if;
  -- A slot passes when a due check is rescheduled, also by a check that a user asked for.
  if v_old.scan_schedule is not null and v_old.next_check_at <= now() and p_next_check_at is distinct from v_old.next_check_at
    and v_old.integration_type = any (p_scan_types)
  then
    v_slot := v_old.next_check_at;
  end if;

  if p_status is null then
    delete from private.check_claims c where c.integration_id = p_id;
    update public.integrations i set next_check_at = p_next_check_at
      where i.id = p_id and i.next_check_at is distinct from p_next_check_at;
    if v_slot is not null then
      perform private.record_not_run(v_old, v_slot, 'not_checked');
    end if;
    return jsonb_build_object('end', 'released');
  end if;

  if private.version_of(v_old.config) is distinct from p_version then
    delete from private.check_claims c where c.integration_id = p_id;
    return jsonb_build_object('end', 'changed');
  end if;

  if p_reason = 'forbidden' and p_status = 'degraded' then
    insert into private.forbidden_checks (integration_id) values (p_id) on conflict (integration_id) do nothing;
    select f.since into v_since from private.forbidden_checks f where f.integration_id = p_id;
    if v_since <= now() - make_interval(days => coalesce(p_forbidden_days, 7)) and (
      private.has_succeeded(private.client_of(v_old), 'check', v_since)
      or not exists (
        select from private.forbidden_checks f join public.integrations i on i.id = f.integration_id
        where private.client_of(i) = private.client_of(v_old) and i.id <> p_id
      )
    ) then
      p_status := 'reconnect_required';
    end if;
  elsif p_status = 'active' then
    delete from private.forbidden_checks f where f.integration_id = p_id;
    perform private.note_success(private.client_of(v_old), 'check');
  end if;

  -- An outage says nothing about an ended grant. And a token that is still valid does not repair a grant that cannot be refreshed.
  if v_old.status in ('reconnect_required', 'revoked') and (
    p_status = 'degraded'
    or (p_status <> 'revoked' and v_old.status_reason in ('invalid_grant', 'invalid_client', 'refresh_lost', 'refresh_refused', 'not_refreshable'))
  ) then
    p_status := v_old.status;
    p_reason := v_old.status_reason;
  end if;

  update public.integrations i
    set status = p_status, status_reason = p_reason, last_checked_at = now(), next_check_at = p_next_check_at
    where i.id = p_id
    returning * into v_row;
  update private.check_claims c set until = now() + interval '10 seconds' where c.integration_id = p_id;
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
    v_row.external_account_id, 'checked', p_status, p_reason, p_request_id, private.named_key(p_service_key)
  );
  if v_slot is not null then
    perform private.settle_slot(v_row, v_slot);
  end if;
  return jsonb_build_object('end', 'checked') || private.health_of(v_row);
end
$function$;
comment on function private.settle_check(uuid,text,text,text,integer,text,timestamp with time zone,uuid,text,text[],uuid) is 'Settles one check. The verdict is about the config of p_version: if another config is stored by now (a reconnection, a refresh) it is ignored. forbidden proves nothing: it may be a gatekeeper''s page, or a provider''s word for an ended grant. After p_forbidden_days (7 if null) without a success it becomes reconnect_required, unless all rows of the client are forbidden: then the cause is not this grant.';

CREATE OR REPLACE FUNCTION private.settle_refresh(p_id uuid, p_owner uuid, p_generation bigint, p_config jsonb, p_user_id uuid, p_request_id text, p_service_key uuid)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_ended text;
  v_row public.integrations;
begin
  begin
    v_ended := private.lock_lease(p_id, p_owner, p_generation);
    if v_ended is not null then
      return v_ended;
    end if;
    perform set_config('integrations.settle', 'on', true);
    update public.integrations i
      set config = private.merged(
          p_config, (select l.base from public.credential_leases l where l.integration_id = p_id), i.config
        ),
        status = 'active',
        status_reason = null
      where i.id = p_id
      returning * into v_row;
    perform set_config('integrations.settle', 'off', true);
    update public.credential_leases l
      set owner = null, expires_at = null, attempted_at = null, unknown_outcomes = 0, failures = 0, failed_at = null, retry_at = null,
        refused_as = null, refused_since = null, refusals = 0, settled_at = now(), ended_by = p_owner, ended_as = 'settled', journal = null,
        base = null
      where l.integration_id = p_id;
    perform private.note_success(private.client_of(v_row), 'refresh');
    perform private.record_refresh_event(v_row, p_user_id, p_service_key, 'refreshed', 'succeeded', null, p_request_id);
    return 'settled';
  exception when sqlstate 'IK004' then
    -- The lease still holds: the worker seals with another data key, and settles again.
    return 'data_key_deleted';
  when sqlstate 'IK001' or lock_not_available or deadlock_detected then
    -- The fence of a rotation rejects this worker's key, or the table is locked. The tokens exist nowhere else: the journal keeps them,
    -- sealed, for a worker that may write. If their data key is being deleted, this waits, and the worker seals with another.
    if p_config->'_enc'->'v' = '3' then
      perform from private.data_keys d join public.integrations i on i.organization_id = d.organization_id
        where i.id = p_id and d.kid = p_config->'_enc'->>'kid'
        for key share of d;
      if not found then
        return 'data_key_deleted';
      end if;
    end if;
    update public.credential_leases l
      set owner = null, expires_at = null, attempted_at = null, retry_at = now() + interval '30 seconds', ended_by = p_owner,
        ended_as = 'journalled', journal = p_config
      where l.integration_id = p_id and l.owner = p_owner and l.generation = p_generation;
    return case when found then 'journalled' else 'changed' end;
  end;
end
$function$;
comment on function private.settle_refresh(uuid,uuid,bigint,jsonb,uuid,text,uuid) is 'Stores a refreshed config. If the row may not be written now, because of a rotation''s fence, the config is kept in the lease for the next claim.';

CREATE OR REPLACE FUNCTION private.settle_slot(p_row integrations, p_slot timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if p_row.status <> 'active' then
    perform private.record_not_run(p_row, p_slot, left(coalesce(p_row.status_reason, p_row.status), 64));
  elsif private.open_run(p_row, 'schedule', p_slot, null) is null then
    perform private.record_not_run(p_row, p_slot, 'still_running');
  end if;
end
$function$;
comment on function private.settle_slot(integrations,timestamp with time zone) is 'Handles a slot of the schedule once its health check is settled: queues a run if the integration is active, otherwise records a run that did not run, with the reason.';

CREATE OR REPLACE FUNCTION private.shown_connect_session(p_row private.connect_sessions)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', p_row.id,
    'state', private.connect_session_state(p_row),
    'failure', p_row.failure,
    'organization_id', p_row.organization_id,
    'external_user_id', p_row.external_user_id,
    'external_user_name', p_row.external_user_name,
    'integration_types', to_jsonb(p_row.integration_types),
    'scopes', p_row.scopes,
    'oauth_apps', p_row.oauth_apps,
    'return_url', p_row.return_url,
    'metadata', p_row.metadata,
    'tags', to_jsonb(p_row.tags),
    'created_at', p_row.created_at,
    'expires_at', p_row.expires_at,
    'integration', (
      select jsonb_build_object(
        'id', i.id,
        'integration_type', i.integration_type,
        'name', i.name,
        'status', i.status,
        'created_at', i.created_at,
        'organization_id', i.organization_id,
        'external_account_id', i.external_account_id,
        'external_user_id', i.external_user_id
      )
      from public.integrations i where i.id = p_row.integration_id
    )
  );
$function$;
comment on function private.shown_connect_session(private.connect_sessions) is 'A connect session as its backend sees it, with the integration once it is completed. Nothing of it opens anything.';

CREATE OR REPLACE FUNCTION private.shown_endpoint(p_row webhook_endpoints)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'url', p_row.url,
    'events', p_row.events,
    'min_severity', p_row.min_severity,
    'enabled', p_row.enabled,
    'disabled_reason', p_row.disabled_reason,
    'previous_secret_ends_at', p_row.previous_secret_ends_at,
    'created_at', p_row.created_at
  );
$function$;
comment on function private.shown_endpoint(webhook_endpoints) is 'An endpoint as members of its organization see it.';

CREATE OR REPLACE FUNCTION private.shown_oauth_app(p_row private.oauth_apps)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'name', p_row.name,
    'client_id', p_row.client_id,
    'slug', p_row.slug,
    'has_fallback_secret', p_row.config ? 'fallback_client_secret',
    'connections', (select count(*) from public.integrations i where i.oauth_app_id = p_row.id),
    'created_at', p_row.created_at,
    'updated_at', p_row.updated_at
  );
$function$;
comment on function private.shown_oauth_app(private.oauth_apps) is 'An app as members of its organization see it: without its secrets.';

CREATE OR REPLACE FUNCTION private.shown_run(p_run assessments)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', p_run.id, 'state', p_run.state, 'result', p_run.outcome, 'reason', p_run.reason, 'baseline', p_run.baseline,
    'requests', p_run.requests, 'passed', p_run.passed, 'failed', p_run.failed, 'unknown', p_run.unknown,
    'not_applicable', p_run.not_applicable, 'muted', p_run.muted, 'opened', p_run.opened, 'reopened', p_run.reopened,
    'resolved', p_run.resolved, 'unverified', p_run.unverified
  );
$function$;
comment on function private.shown_run(assessments) is 'A run and its counts; result is its outcome.';

CREATE OR REPLACE FUNCTION private.shown_service_key(p_row private.service_keys)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'name', p_row.name,
    'prefix', p_row.prefix,
    'scopes', to_jsonb(p_row.scopes),
    'created_by', p_row.created_by,
    'created_at', p_row.created_at,
    'expires_at', p_row.expires_at,
    'revoked_at', p_row.revoked_at,
    'last_used_at', p_row.last_used_at
  );
$function$;
comment on function private.shown_service_key(private.service_keys) is 'A service key as the API and keytool show it: without its hash.';

CREATE OR REPLACE FUNCTION private.stage_results(p_id uuid, p_catalogue text, p_results jsonb)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.stage_results(uuid,text,jsonb) is 'Stores results of a run until it ends, each once: of two about the same resource the worse one stays, as in a list that changes between two pages. Results of another catalogue are dropped. False: with these they would be more than 50,000; none of these is kept, and the run is marked so.';

CREATE OR REPLACE FUNCTION private.tags_of(p_list jsonb)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select array(select distinct t.tag from jsonb_array_elements_text(p_list) t (tag) order by t.tag);
$function$;
comment on function private.tags_of(jsonb) is 'Tags as a row has them: each once, in order.';

CREATE OR REPLACE FUNCTION private.tags_of_session(p_id uuid)
 RETURNS text[]
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select s.tags from private.connect_sessions s where s.id = p_id;
$function$;
comment on function private.tags_of_session(uuid) is 'The tags that an integration gets from a connect session. Null: none are given.';

CREATE OR REPLACE FUNCTION private.take_check(p_row integrations, p_soon integer, p_user_id uuid, p_request_id text, p_service_key uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_is_current boolean;
begin
  -- Longer than a check can take, including its refresh.
  insert into private.check_claims as c (integration_id, until)
    values (p_row.id, now() + interval '10 minutes')
    on conflict (integration_id) do update set until = excluded.until where c.until <= now();
  if not found then
    return null;
  end if;

  v_is_current := coalesce(p_row.token_expires_at > now() + make_interval(secs => p_soon), true) and not exists (
    select from public.credential_leases l where l.integration_id = p_row.id and l.journal is not null
  );
  if v_is_current then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, p_row.organization_id, p_row.id, p_row.integration_type,
      p_row.external_account_id, 'opened', p_reason => 'check', p_request_id => p_request_id,
      p_details => private.named_key(p_service_key)
    );
  end if;
  return jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'account_id', private.account_of(p_row),
    'scan_schedule', p_row.scan_schedule,
    'version', private.version_of(p_row.config),
    'config', case when v_is_current then p_row.config::text end
  ) || private.oauth_app(p_row.oauth_app_id);
end
$function$;
comment on function private.take_check(integrations,integer,uuid,text,uuid) is 'Claims the check of a locked integration. Returns null if another worker checks it or has just checked it. Returns no config if its token expires within p_soon seconds or a refreshed one is not written yet: then claim_refresh returns it. The version identifies the config that the verdict will be about.';

CREATE OR REPLACE FUNCTION private.take_lease(p_row integrations, p_owner uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_lease public.credential_leases;
  v_merged jsonb;
begin
  select private.merged(l.journal, l.base, p_row.config) into v_merged from public.credential_leases l where l.integration_id = p_row.id;
  if octet_length(v_merged::text) > 262144 then
    -- Too large for the journal. It is merged when the refreshed config is written.
    v_merged := null;
  end if;
  -- Longer than the worker needs: it starts at most 30 s after the claim, the provider has 20 s, the write and its retries 20 s.
  insert into public.credential_leases as l (integration_id, owner, expires_at, attempted_at)
    values (p_row.id, p_owner, now() + interval '90 seconds', now())
    on conflict (integration_id) do update
      set owner = p_owner,
        expires_at = excluded.expires_at,
        generation = excluded.generation,
        unknown_outcomes = l.unknown_outcomes + (l.attempted_at is not null)::integer,
        attempted_at = case when l.journal is null then now() end,
        journal = coalesce(v_merged, l.journal),
        base = case when v_merged is null and l.journal is not null then l.base end,
        ended_by = null,
        ended_as = null
      where l.owner is null or l.expires_at <= now()
    returning * into v_lease;
  if not found then
    return null;
  end if;
  return jsonb_build_object(
    'id', p_row.id,
    'organization_id', p_row.organization_id,
    'integration_type', p_row.integration_type,
    'generation', v_lease.generation,
    'config', coalesce(v_lease.journal, p_row.config)::text,
    'refreshed', v_lease.journal is not null
  ) || private.oauth_app(p_row.oauth_app_id);
end
$function$;
comment on function private.take_lease(integrations,uuid) is 'Takes the lease of a locked integration, records the attempt, and returns what to refresh, or the unwritten result of an earlier refresh. Null if another worker holds the lease.';

CREATE OR REPLACE FUNCTION private.trim_runs(p_integration_id uuid)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  delete from public.assessments a where a.state = 'done' and a.id = any (array(
    select o.id from public.assessments o where o.integration_id = p_integration_id
    order by o.queued_at desc, o.id offset 10000 limit 10
  ));
$function$;
comment on function private.trim_runs(uuid) is 'Keeps the newest 10,000 runs of an integration: more than three months at one every quarter of an hour.';

CREATE OR REPLACE FUNCTION private.unique_name(p_organization_id uuid, p_integration_type text, p_id uuid, p_name text, p_external_account_id text)
 RETURNS text
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_name text := p_name;
  v_mark text := left(p_external_account_id, 64);
  v_next integer := 2;
begin
  while exists (
    select from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type and i.id <> p_id and i.name = v_name
  ) loop
    v_name := left(p_name, 200 - char_length(v_mark) - 3) || ' (' || v_mark || ')';
    v_mark := v_next::text;
    v_next := v_next + 1;
  end loop;
  return v_name;
end
$function$;
comment on function private.unique_name(uuid,text,uuid,text,text) is 'The first name that no other integration of the type uses in the organization: the name, the name with the account in brackets, the name with a number.';

CREATE OR REPLACE FUNCTION private.unused_data_keys()
 RETURNS TABLE(organization_id uuid, kid text)
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function private.unused_data_keys() is 'The data keys that were replaced 15 minutes ago and that no row is sealed with.';

CREATE OR REPLACE FUNCTION private.version_of(p_config jsonb)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select encode(sha256(convert_to(p_config::text, 'UTF8')), 'hex');
$function$;
comment on function private.version_of(jsonb) is 'A hash that identifies a config, for compare-and-swap.';

CREATE OR REPLACE FUNCTION private.webhook_data(p_row integrations, p_reason text)
 RETURNS jsonb
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'organization_id', p_row.organization_id,
    'integration_id', p_row.id,
    'integration_type', left(p_row.integration_type, 64),
    'name', left(p_row.name, 200),
    'status', left(p_row.status, 64),
    'external_user_id', p_row.external_user_id,
    'reason', p_reason
  );
$function$;
comment on function private.webhook_data(integrations,text) is 'An event''s data about an integration, of bounded size whatever an earlier application has stored. It never contains anything from config.';

CREATE OR REPLACE FUNCTION private.webhook_pause(p_attempts integer)
 RETURNS interval
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select (array[
    interval '30 seconds', interval '5 minutes', interval '30 minutes', interval '2 hours', interval '5 hours', interval '10 hours',
    interval '14 hours', interval '20 hours'
  ])[least(greatest(p_attempts, 1), 8)];
$function$;
comment on function private.webhook_pause(integer) is 'How long a delivery waits after this many attempts. There are ten attempts within three days.';

CREATE OR REPLACE FUNCTION private.webhook_types()
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select array[
    'connection.created', 'connection.reconnected', 'connection.refreshed', 'connection.refresh_failed',
    'connection.degraded', 'connection.reconnect_required', 'connection.deleted',
    'finding.opened', 'finding.reopened', 'finding.resolved', 'finding.mute_ended', 'assessment.completed', 'assessment.incomplete'
  ];
$function$;
comment on function private.webhook_types() is 'Every event type. A new type is a new definition of this function.';

CREATE OR REPLACE FUNCTION private.without_paused(p_types text[], p_endpoint text)
 RETURNS text[]
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(array_agg(t.kind), '{}') from unnest(p_types) t (kind)
  where not exists (
    select from private.provider_pauses p
    where p.client = t.kind and p.endpoint = p_endpoint and p.until > now()
  );
$function$;
comment on function private.without_paused(text[],text) is 'Those of the types whose client of the deployment is not paused at this endpoint.';

CREATE OR REPLACE FUNCTION private.write_connector_event(p_user_id uuid, p_connect_session_id uuid, p_organization_id uuid, p_integration_id uuid, p_integration_type text, p_external_account_id text, p_action text, p_reason text, p_request_id text)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  perform private.write_event(
    case when p_connect_session_id is null then 'user' else 'service_key' end, p_user_id, p_organization_id, p_integration_id,
    p_integration_type, p_external_account_id, p_action, p_reason => p_reason, p_request_id => p_request_id,
    p_details => private.connect_session_details(p_connect_session_id)
  );
end
$function$;
comment on function private.write_connector_event(uuid,uuid,uuid,uuid,text,text,text,text,text) is 'Writes an event of a user, or of the service key behind a connect session.';

CREATE OR REPLACE FUNCTION private.write_event(p_actor text, p_user_id uuid, p_organization_id uuid, p_integration_id uuid, p_integration_type text, p_external_account_id text, p_action text, p_outcome text DEFAULT 'succeeded'::text, p_reason text DEFAULT NULL::text, p_request_id text DEFAULT NULL::text, p_details jsonb DEFAULT NULL::jsonb)
 RETURNS void
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  insert into public.credential_events (
    actor, user_id, organization_id, integration_id, integration_type, external_account_id, action, outcome, reason, request_id,
    details
  ) values (
    p_actor, p_user_id, p_organization_id, p_integration_id, p_integration_type, p_external_account_id, p_action, p_outcome,
    p_reason, p_request_id, p_details
  );
$function$;
comment on function private.write_event(text,uuid,uuid,uuid,text,text,text,text,text,text,jsonb) is 'Writes an audit event. Called in the transaction of what it records, so no credential is handed out or changed without its event.';

CREATE OR REPLACE FUNCTION public.abandon_connection(p_id uuid, p_user_id uuid, p_owner uuid, p_reason text, p_external_account_id text, p_wide boolean, p_request_id text, p_connect_session_id uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_pending public.pending_connections;
  v_row private.pending_revocations;
begin
  if p_owner is null or p_wide is null then
    raise exception 'p_owner or p_wide is null' using errcode = 'invalid_parameter_value';
  end if;
  delete from public.pending_connections p
    where p.id = p_id and (p.user_id = p_user_id or p.connect_session_id = p_connect_session_id)
    returning * into v_pending;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, external_user_id, config, reason,
    owner, leased_until
  ) values (
    v_pending.id, v_pending.organization_id, v_pending.id, v_pending.integration_type, v_pending.oauth_app_id, p_external_account_id,
    p_user_id, private.external_user_of(p_connect_session_id), v_pending.config, p_reason, p_owner, now() + interval '60 seconds'
  ) returning * into v_row;
  if p_wide and private.grant_is_shared(
    v_row.integration_type, v_row.oauth_app_id, p_external_account_id, p_user_id, v_row.organization_id, v_row.external_user_id
  ) then
    perform private.end_revocation(v_row, 'kept', p_request_id);
    return jsonb_build_object('outcome', 'kept');
  end if;
  perform private.write_connector_event(
    p_user_id, p_connect_session_id, v_row.organization_id, v_row.id, v_row.integration_type, p_external_account_id, 'opened', 'revoke',
    p_request_id
  );
  return jsonb_build_object('outcome', 'abandoned', 'revocation', private.revocation_claim(v_row));
end
$function$;
comment on function abandon_connection(uuid,uuid,uuid,text,text,boolean,text,uuid) is 'Gives up a pending connection, and leases its revocation to p_owner. p_reason: abandoned, or discarded by its user. p_wide: a revocation ends everything that the user has granted. Returns abandoned (the caller revokes, then settles), kept (another integration uses the grant, so nobody revokes it) or unknown (it is not pending: it was stored, or given up before).';
grant execute on function abandon_connection(uuid,uuid,uuid,text,text,boolean,text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.add_data_keys(p_data_keys jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
$function$;
comment on function add_data_keys(jsonb) is 'Adds a data key, [{organization_id, kid, wrapping_kid, wrapped}], to each organization that has no current one. Returns the data keys that these organizations have then, as data_keys does: where two add at once, both get the first one''s.';
grant execute on function add_data_keys(jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.add_pending_connection(p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_config jsonb, p_return_to text, p_connect_session_id uuid DEFAULT NULL::uuid, p_oauth_app_id uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  insert into public.pending_connections (
    id, user_id, connect_session_id, organization_id, integration_type, config, return_to, oauth_app_id
  )
    values (p_id, p_user_id, p_connect_session_id, p_organization_id, p_integration_type, p_config, p_return_to, p_oauth_app_id)
    on conflict (id) do nothing;
  -- A separate statement, so that it sees what ended while the one before was waiting.
  delete from public.pending_connections p
    where p.id = p_id and exists (select from private.ended_connections e where e.id = p_id);
  return jsonb_build_object('outcome', 'pending');
end
$function$;
comment on function add_pending_connection(uuid,uuid,uuid,text,jsonb,text,uuid,uuid) is 'Stores a grant that was just received, sealed, until it is stored as an integration or given up. May be repeated, and writes nothing once that has happened: a call may arrive long after its repetition.';
grant execute on function add_pending_connection(uuid,uuid,uuid,text,jsonb,text,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.admit_completion(p_service_key uuid, p_id uuid, p_code_hash text, p_code_challenge text, p_request_id text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_row private.connect_sessions;
  v_state text;
  v_pending public.pending_connections;
begin
  select * into v_row from private.connect_sessions s where s.id = p_id for update;
  if not found or not private.service_key_covers(p_service_key, 'connect_sessions:write', v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  v_state := private.connect_session_state(v_row);
  if v_state <> 'waiting_for_completion' then
    return jsonb_build_object('outcome', case when v_state in ('pending', 'opened') then 'not_ready' else v_state end);
  end if;

  if p_code_hash is distinct from v_row.code_hash or p_code_challenge is distinct from v_row.code_challenge then
    update private.connect_sessions s set wrong_completions = s.wrong_completions + 1 where s.id = p_id;
    if v_row.wrong_completions >= 4 then
      update private.connect_sessions s set state = 'failed', failure = 'wrong_completion', code_hash = null where s.id = p_id;
      update public.pending_connections p set expires_at = now() where p.id = v_row.pending_id;
    end if;
    return jsonb_build_object('outcome', 'wrong');
  end if;

  select * into v_pending from public.pending_connections p where p.id = v_row.pending_id and p.expires_at > now();
  if not found then
    return jsonb_build_object('outcome', 'expired');
  end if;
  update private.connect_sessions s set completed_by = p_service_key where s.id = p_id;
  perform private.write_connector_event(
    null, p_id, v_row.organization_id, v_pending.id, v_pending.integration_type, v_pending.accounts->0->>'id', 'opened', 'complete',
    p_request_id
  );
  return jsonb_build_object(
    'outcome', 'admitted',
    'pending_id', v_pending.id,
    'organization_id', v_pending.organization_id,
    'integration_type', v_pending.integration_type,
    'config', v_pending.config,
    'account', v_pending.accounts->0,
    'reconnects', v_row.reconnects
  );
end
$function$;
comment on function admit_completion(uuid,uuid,text,text,text) is 'Hands out the parked grant of a connect session to be stored, if the code and the verifier''s challenge are right. Returns admitted, wrong (the fifth time the session fails and its grant is revoked), not_ready, completed, failed, expired or unknown.';
grant execute on function admit_completion(uuid,uuid,text,text,text) to service_role;

CREATE OR REPLACE FUNCTION public.admit_import(p_service_key uuid, p_organization_id uuid, p_integration_type text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_seconds integer;
  v_paused_until timestamptz := private.paused_until(null, p_integration_type, 'api');
begin
  if not private.lock_access(null, p_service_key, 'connections:import', p_organization_id) then
    return jsonb_build_object('outcome', 'foreign_organization');
  end if;
  if v_paused_until is not null then
    return jsonb_build_object('outcome', 'paused', 'seconds', ceil(extract(epoch from v_paused_until - now()))::integer);
  end if;
  v_seconds := private.admit('import', p_service_key::text, 600, '1 minute');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted', 'at', now());
end
$function$;
comment on function admit_import(uuid,uuid,text) is 'Counts an import of a service key, before the provider is asked: 600 in a minute. Returns admitted with the time, foreign_organization (the key acts for another, or is no longer valid), paused (the provider accepts no requests of this type for seconds), or too_many with seconds.';
grant execute on function admit_import(uuid,uuid,text) to service_role;

CREATE OR REPLACE FUNCTION public.admit_renewal(p_address text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_seconds integer;
begin
  if p_address is null then
    raise exception 'p_address is null' using errcode = 'invalid_parameter_value';
  end if;
  v_seconds := private.admit('renewals of an address', p_address, 100, '10 minutes', '1 second', '1 minute');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted');
end
$function$;
comment on function admit_renewal(text) is 'Counts an attempt to refresh a session, before it is made, so that a stranger''s guesses do not use up the worker''s limit at Supabase Auth. Returns admitted or too_many with seconds.';
grant execute on function admit_renewal(text) to service_role;

CREATE OR REPLACE FUNCTION public.admit_sign_in(p_account text, p_address text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function admit_sign_in(text,text) is 'Counts an attempt with a password, before it is tried, by keyed hashes of the email address and of the client''s address. The strictest limit is that of one address on one account. The limit of an account over all addresses has short pauses only, so nobody can lock its owner out. It makes no difference whether the account exists. Returns admitted, or too_many with seconds.';
grant execute on function admit_sign_in(text,text) to service_role;

CREATE OR REPLACE FUNCTION public.admit_write(p_user_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function admit_write(uuid) is 'Counts a request that changes something. A user may make 120 a minute and 5,000 a day. Returns admitted, or too_many with seconds.';
grant execute on function admit_write(uuid) to service_role;

CREATE OR REPLACE FUNCTION public.authenticate_service_key(p_hash text, p_scope text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.service_keys;
  v_seconds integer;
begin
  select * into v_row from private.service_keys k
    where k.hash = p_hash and k.revoked_at is null and coalesce(k.expires_at > now(), true);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if p_scope is null or not p_scope = any (v_row.scopes) then
    return jsonb_build_object('outcome', 'missing_scope');
  end if;
  -- Sixteen counters, so that concurrent requests with one key seldom wait for each other.
  v_seconds := private.admit('service key', v_row.id || ' ' || floor(random() * 16), 400, '1 minute');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  if coalesce(v_row.last_used_at < now() - interval '1 minute', true) then
    perform from private.service_keys k where k.id = v_row.id for no key update skip locked;
    if found then
      update private.service_keys k set last_used_at = now() where k.id = v_row.id;
    end if;
  end if;
  return jsonb_build_object('outcome', 'authenticated', 'id', v_row.id, 'organization_id', v_row.organization_id);
end
$function$;
comment on function authenticate_service_key(text,text) is 'Finds a valid service key by its hash and counts its use: some 6,400 in a minute. Returns authenticated, unknown (not found, revoked or expired), missing_scope, or too_many with seconds.';
grant execute on function authenticate_service_key(text,text) to service_role;

CREATE OR REPLACE FUNCTION public.begin_connection(p_id uuid, p_state_hash text, p_binding_hash text, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_issuer text, p_redirect_uri text, p_verifier jsonb, p_return_to text, p_integration_id uuid DEFAULT NULL::uuid, p_connect_session_id uuid DEFAULT NULL::uuid, p_oauth_app_id uuid DEFAULT NULL::uuid, p_keeps_app boolean DEFAULT false)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.integrations;
  v_app_id uuid := p_oauth_app_id;
begin
  -- Concurrent calls of a user queue here. If they counted at the same time, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('begin_connection ' || coalesce(p_user_id, p_connect_session_id), 0));

  if not private.lock_connector(p_user_id, p_connect_session_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  -- The row exists: it was locked just now. A session has one transaction, the newest.
  if p_connect_session_id is not null then
    if not private.connect_session_is_open(p_connect_session_id) then
      return jsonb_build_object('outcome', 'over');
    end if;
    delete from public.oauth_transactions t where t.connect_session_id = p_connect_session_id;
  end if;

  if p_integration_id is not null then
    select * into v_row from public.integrations i
      where i.id = p_integration_id and i.organization_id = p_organization_id and i.integration_type = p_integration_type;
    if not found then
      return jsonb_build_object('outcome', 'unknown');
    end if;
    if private.account_of(v_row) is null or exists (
      select from public.integrations i
      where i.organization_id = p_organization_id and i.integration_type = p_integration_type
        and i.external_account_id = private.account_of(v_row) and i.id <> p_integration_id
    ) then
      return jsonb_build_object('outcome', 'no_account');
    end if;
    if p_keeps_app then
      v_app_id := v_row.oauth_app_id;
    end if;
  end if;
  -- Locked, so that it cannot be deleted before the transaction refers to it.
  perform from private.oauth_apps a
    where a.id = v_app_id and a.organization_id = p_organization_id and a.integration_type = p_integration_type
    for key share;
  if not found and v_app_id is not null then
    return jsonb_build_object('outcome', 'unknown_app');
  end if;

  if (select count(*) from public.oauth_transactions t where t.user_id = p_user_id and t.expires_at > now())
    + (select count(*) from public.pending_connections p where p.user_id = p_user_id) >= 50
    or (select count(*) from public.oauth_transactions t where t.organization_id = p_organization_id and t.expires_at > now())
    + (select count(*) from public.pending_connections p where p.organization_id = p_organization_id) >= 500
  then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into public.oauth_transactions (
    id, state_hash, binding_hash, user_id, organization_id, integration_type, issuer, redirect_uri, verifier, return_to,
    integration_id, connect_session_id, oauth_app_id
  ) values (
    p_id, p_state_hash, p_binding_hash, p_user_id, p_organization_id, p_integration_type, p_issuer, p_redirect_uri, p_verifier,
    p_return_to, p_integration_id, p_connect_session_id, v_app_id
  );
  if p_connect_session_id is not null then
    perform private.extend_connect_session(p_connect_session_id);
  end if;
  return jsonb_build_object('outcome', 'begun') || private.oauth_app(v_app_id);
end
$function$;
comment on function begin_connection(uuid,text,text,uuid,uuid,text,text,text,jsonb,text,uuid,uuid,uuid,boolean) is 'Starts a connection: stores the hashes and the sealed PKCE verifier of one authorization request. p_oauth_app_id: the organization''s own app, or null for the deployment''s; with p_keeps_app that of the integration to reconnect. Returns begun with the app, not_a_member, too_many, unknown (the integration to reconnect does not exist), unknown_app, or over (the connect session no longer accepts a connection).';
grant execute on function begin_connection(uuid,text,text,uuid,uuid,text,text,text,jsonb,text,uuid,uuid,uuid,boolean) to service_role;

CREATE OR REPLACE FUNCTION public.change_integration(p_id uuid, p_user_id uuid, p_changes jsonb, p_request_id text DEFAULT NULL::text, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.integrations;
  v_tags text[];
begin
  if jsonb_typeof(p_changes) is distinct from 'object'
    or p_changes - array['name', 'scan_schedule', 'next_check_at', 'tags'] <> '{}'
    or (p_changes ? 'tags' and jsonb_typeof(p_changes->'tags') <> 'array')
    or (p_changes ? 'name' and char_length(coalesce(p_changes->>'name', '')) not between 1 and 200)
    or char_length(p_changes->>'scan_schedule') > 200
  then
    raise exception 'p_changes holds something else, or out of bounds' using
      errcode = 'invalid_parameter_value',
      hint = 'name of 1 to 200 characters, scan_schedule of at most 200, next_check_at, a list of tags';
  end if;

  select * into v_row from public.integrations i where i.id = p_id;
  if not found or not private.lock_access(p_user_id, p_service_key, 'connections:write', v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- The organization again: it is the one whose membership is locked.
  perform private.lock_names(v_row.organization_id, v_row.integration_type);
  select * into v_row from public.integrations i
    where i.id = p_id and i.organization_id = v_row.organization_id and i.integration_type = v_row.integration_type
    for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_changes ? 'name' and exists (
    select from public.integrations i
    where i.organization_id = v_row.organization_id and i.integration_type = v_row.integration_type
      and i.id <> p_id and i.name = p_changes->>'name'
  ) then
    return jsonb_build_object('outcome', 'name_taken');
  end if;

  v_tags := case when p_changes ? 'tags' then private.tags_of(p_changes->'tags') else v_row.tags end;
  update public.integrations i
    set name = coalesce(p_changes->>'name', i.name),
      tags = v_tags,
      name_is_custom = i.name_is_custom or p_changes ? 'name',
      scan_schedule = case when p_changes ? 'scan_schedule' then p_changes->>'scan_schedule' else i.scan_schedule end,
      next_check_at = case when p_changes ? 'next_check_at' then (p_changes->>'next_check_at')::timestamptz else i.next_check_at end
    where i.id = p_id;

  if p_changes->>'name' <> v_row.name then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'renamed', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  if p_changes ? 'scan_schedule' and p_changes->>'scan_schedule' is distinct from v_row.scan_schedule then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'rescheduled', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  if v_tags <> v_row.tags then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'tagged', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  return jsonb_build_object('outcome', 'changed');
end
$function$;
comment on function change_integration(uuid,uuid,jsonb,text,uuid) is 'Renames an integration, or changes its schedule or its tags. p_changes holds name, scan_schedule, next_check_at and tags, each optional; a null schedule ends the checks. Returns changed, name_taken or unknown. A change to the current value writes no event.';
grant execute on function change_integration(uuid,uuid,jsonb,text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.change_oauth_app(p_id uuid, p_name text, p_read jsonb, p_config jsonb, p_user_id uuid DEFAULT NULL::uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.oauth_apps := private.lock_oauth_app(p_id, p_user_id, p_service_key);
begin
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if p_config is not null and v_row.config is distinct from p_read then
    return jsonb_build_object('outcome', 'outdated');
  end if;
  update private.oauth_apps a
    set name = coalesce(p_name, a.name), config = coalesce(p_config, a.config), updated_at = now()
    where a.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'changed', 'oauth_app', private.shown_oauth_app(v_row));
end
$function$;
comment on function change_oauth_app(uuid,text,jsonb,jsonb,uuid,uuid) is 'Renames an app (p_name, or null), and replaces the sealed secrets that were read (p_read) by p_config, or leaves them (null). Returns changed, outdated (other secrets are stored by now; nothing was written) or unknown.';
grant execute on function change_oauth_app(uuid,text,jsonb,jsonb,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.change_webhook_endpoint(p_id uuid, p_user_id uuid, p_changes jsonb, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.webhook_endpoints;
begin
  if jsonb_typeof(p_changes) is distinct from 'object'
    or p_changes - array['url', 'events', 'min_severity', 'enabled'] <> '{}'
    or (p_changes ? 'url' and jsonb_typeof(p_changes->'url') <> 'string')
    or (p_changes ? 'events' and jsonb_typeof(p_changes->'events') not in ('array', 'null'))
    or (p_changes ? 'min_severity' and jsonb_typeof(p_changes->'min_severity') not in ('string', 'null'))
    or (p_changes ? 'enabled' and jsonb_typeof(p_changes->'enabled') <> 'boolean')
  then
    raise exception 'p_changes holds something else' using
      errcode = 'invalid_parameter_value', hint = 'url a text, events a list or null, min_severity a text or null, enabled true or false';
  end if;

  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  update public.webhook_endpoints e
    set url = coalesce(p_changes->>'url', e.url),
      events = case
        when jsonb_typeof(p_changes->'events') = 'array'
          then array(select w.type from jsonb_array_elements_text(p_changes->'events') w (type))
        when p_changes ? 'events' then null
        else e.events
      end,
      min_severity = case when p_changes ? 'min_severity' then p_changes->>'min_severity' else e.min_severity end,
      enabled = coalesce((p_changes->>'enabled')::boolean, e.enabled),
      disabled_reason = case when not p_changes ? 'enabled' then e.disabled_reason end,
      failing_since = null,
      -- The speed of a new receiver is unknown.
      slow_until = case when p_changes->>'url' <> e.url then 'infinity' else e.slow_until end,
      updated_at = now()
    where e.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'changed', 'endpoint', private.shown_endpoint(v_row));
end
$function$;
comment on function change_webhook_endpoint(uuid,uuid,jsonb,uuid) is 'Changes an endpoint. p_changes holds url, events (null: all), min_severity (null: any) and enabled, each optional. Enabling clears disabled_reason. Returns changed or unknown.';
grant execute on function change_webhook_endpoint(uuid,uuid,jsonb,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.change_webhook_secret(p_id uuid, p_user_id uuid, p_read jsonb, p_config jsonb, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_row.config is distinct from p_read then
    return jsonb_build_object('outcome', 'changed');
  end if;

  update public.webhook_endpoints e
    set config = p_config,
      previous_secret_ends_at = case when p_config ? 'previous_secret' then now() + interval '24 hours' end,
      updated_at = now()
    where e.id = p_id
    returning * into v_row;
  return jsonb_build_object('outcome', 'rotated', 'endpoint', private.shown_endpoint(v_row));
end
$function$;
comment on function change_webhook_secret(uuid,uuid,jsonb,jsonb,uuid) is 'Replaces the secrets that were read (p_read). Returns rotated, changed (other secrets are stored by now; nothing was written) or unknown. A previous_secret among the new ones also signs for a day.';
grant execute on function change_webhook_secret(uuid,uuid,jsonb,jsonb,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.check_credential_attempts(p_user_id uuid, p_organization_id uuid, p_connect_session_id uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_seconds integer;
begin
  if not private.lock_connector(p_user_id, p_connect_session_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  v_seconds := private.admit(
    'credentials', coalesce(p_user_id, p_connect_session_id)::text, case when p_user_id is null then 10 else 60 end, '10 minutes'
  );
  -- Who may start sessions could otherwise start another one for the next ten.
  if v_seconds = 0 and p_connect_session_id is not null then
    v_seconds := private.admit(
      'credentials of an end user',
      encode(sha256(convert_to(p_organization_id || ' ' || private.external_user_of(p_connect_session_id), 'UTF8')), 'hex'), 60, '10 minutes'
    );
  end if;
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted', 'at', now());
end
$function$;
comment on function check_credential_attempts(uuid,uuid,uuid) is 'Counts an attempt to connect with credentials, before the provider is asked: sixty in ten minutes for a user, or for the end user of connect sessions in an organization, and ten for a connect session. Without a limit anybody with an account could test stolen keys through the worker. Returns admitted with the time, not_a_member, or too_many with seconds.';
grant execute on function check_credential_attempts(uuid,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.claim_check(p_id uuid, p_user_id uuid, p_soon integer, p_request_id text DEFAULT NULL::text, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_paused_until timestamptz;
begin
  if p_soon is null then
    raise exception 'p_soon is null' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from public.integrations i where i.id = p_id;
  if not found
    or (coalesce(p_user_id, p_service_key) is not null and not private.has_write_access(p_user_id, p_service_key, 'connections:write', v_row.organization_id))
  then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  select * into v_row from public.integrations i where i.id = p_id and i.organization_id = v_row.organization_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if v_row.last_checked_at > now() - interval '10 seconds' then
    return jsonb_build_object('outcome', 'recent') || private.health_of(v_row);
  end if;
  v_paused_until := private.paused_until(p_id, private.client_of(v_row), 'api');
  if v_paused_until is not null then
    return jsonb_build_object('outcome', 'paused', 'seconds', ceil(extract(epoch from v_paused_until - now()))::integer);
  end if;
  v_claim := private.take_check(v_row, p_soon, p_user_id, p_request_id, p_service_key);
  if v_claim is null then
    return jsonb_build_object('outcome', 'busy');
  end if;
  return jsonb_build_object('outcome', 'claimed') || v_claim;
end
$function$;
comment on function claim_check(uuid,uuid,integer,text,uuid) is 'Claims the check of one integration for a user or a service key, or with neither for the worker itself. Returns claimed, recent (checked less than 10 seconds ago, with the result), busy, paused with seconds, or unknown.';
grant execute on function claim_check(uuid,uuid,integer,text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.claim_due_checks(p_limit integer, p_types text[], p_soon integer, p_request_id text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_limit is null or p_limit not between 1 and 100 or p_types is null or p_soon is null then
    raise exception 'p_limit is not between 1 and 100, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  for v_row in
    select i.* from private.due_checks(p_limit, private.without_paused(p_types, 'api')) d
    join public.integrations i on i.id = d.id
    -- Again, for a row that was checked between the read and the lock.
    where i.next_check_at <= now() and i.scan_schedule is not null and i.status in ('active', 'degraded')
    order by d.turn, i.next_check_at
    limit p_limit
    for no key update of i skip locked
  loop
    exit when v_room <= 0;
    v_claim := private.take_check(v_row, p_soon, null, p_request_id, null);
    continue when v_claim is null;
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$function$;
comment on function claim_due_checks(integer,text[],integer,text) is 'Claims up to p_limit due checks of these types and of organizations'' own apps. Organizations take turns, each with its longest due row first, so none waits for another''s whole backlog. It leaves out rows of a paused provider, and rows that another worker checks or refreshes. Together the configs are at most about a megabyte.';
grant execute on function claim_due_checks(integer,text[],integer,text) to service_role;

CREATE OR REPLACE FUNCTION public.claim_due_refreshes(p_owner uuid, p_limit integer, p_within integer, p_types text[], p_request_id text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
declare
  v_row public.integrations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_limit is null or p_limit not between 1 and 500 or p_within is null or p_types is null then
    raise exception 'p_limit is not between 1 and 500, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  for v_row in
    select i.*
    from (
      (
        select l.integration_id as id, 0 as turn from public.credential_leases l
        where l.journal is not null and (l.owner is null or l.expires_at <= now()) and coalesce(l.retry_at <= now(), true)
        limit p_limit
      )
      union all
      select d.id, d.turn from private.due_refreshes(p_limit, p_within, private.without_paused(p_types, 'token')) d
      where not exists (select from public.credential_leases l where l.integration_id = d.id and l.journal is not null)
    ) c
    join public.integrations i on i.id = c.id
    where c.turn = 0 or private.fits_after_refresh(i.config)
    order by c.turn, i.token_expires_at
    limit p_limit
    for no key update of i skip locked
  loop
    exit when v_room <= 0;
    v_claim := private.take_lease(v_row, p_owner);
    continue when v_claim is null;
    perform private.write_event(
      'service', null, v_row.organization_id, v_row.id, v_row.integration_type, v_row.external_account_id, 'opened',
      p_reason => 'refresh', p_request_id => p_request_id
    );
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$function$;
comment on function claim_due_refreshes(uuid,integer,integer,text[],text) is 'Claims up to p_limit refreshes for the schedule: first configs in the journal, then tokens that expire within p_within seconds, of these types and of organizations'' own apps. Organizations take turns, each with the token that expires soonest, so none waits for the whole backlog of another. Rows that others have locked are skipped. Together the configs are at most about a megabyte.';
grant execute on function claim_due_refreshes(uuid,integer,integer,text[],text) to service_role;

CREATE OR REPLACE FUNCTION public.claim_refresh(p_id uuid, p_owner uuid, p_user_id uuid DEFAULT NULL::uuid, p_within integer DEFAULT NULL::integer, p_read boolean DEFAULT false, p_reason text DEFAULT 'refresh'::text, p_request_id text DEFAULT NULL::text, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_row public.integrations;
  v_lease public.credential_leases;
  v_wanted boolean;
  v_claim jsonb;
  v_paused_until timestamptz;
begin
  select * into v_row from public.integrations i where i.id = p_id;
  if not found or (p_user_id is not null and not private.may_change(p_user_id, v_row.organization_id)) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  -- A key that may change connections has them refreshed and checked, for which the worker opens the credential.
  if p_service_key is not null and not private.has_access(
    null, p_service_key, case p_reason when 'credential' then 'connections:credentials' else 'connections:write' end, v_row.organization_id
  ) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- Of many concurrent callers most only wait. They take no lock.
  v_wanted := p_within is null or v_row.token_expires_at <= now() + make_interval(secs => p_within);
  if v_wanted then
    perform from public.credential_leases l where l.integration_id = p_id and l.owner is not null and l.expires_at > now();
    if found then
      return jsonb_build_object('outcome', 'busy');
    end if;
  end if;

  -- The row lock keeps other writers of the config away between this read and the lease.
  select * into v_row from public.integrations i where i.id = p_id for no key update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  select * into v_lease from public.credential_leases l where l.integration_id = p_id;

  if v_lease.journal is not null then
    v_wanted := true;
  elsif v_row.status in ('reconnect_required', 'revoked') or not private.fits_after_refresh(v_row.config) then
    v_wanted := false;
  elsif p_within is null then
    v_wanted := coalesce(v_lease.settled_at <= now() - interval '30 seconds', true);
  else
    v_wanted := coalesce(v_row.token_expires_at <= now() + make_interval(secs => p_within), false)
      and coalesce(v_lease.retry_at <= now(), true)
      -- A new token may live for less than p_within.
      and (coalesce(v_lease.settled_at <= now() - interval '30 seconds', true) or v_row.token_expires_at <= now());
  end if;

  if v_wanted and p_within is null and v_lease.journal is null and v_lease.failed_at > now() - interval '10 seconds' then
    return jsonb_build_object('outcome', 'failed', 'retry_at', v_lease.retry_at);
  end if;

  -- A config in the journal can be written without the provider.
  if v_wanted and v_lease.journal is null then
    v_paused_until := private.paused_until(p_id, private.client_of(v_row), 'token');
    if v_paused_until is not null and p_within is null then
      return jsonb_build_object(
        'outcome', 'failed', 'retry_at', v_paused_until,
        'paused_seconds', ceil(extract(epoch from v_paused_until - now()))::integer
      );
    end if;
    v_wanted := v_paused_until is null;
  end if;

  if v_wanted then
    v_claim := private.take_lease(v_row, p_owner);
    if v_claim is null then
      return jsonb_build_object('outcome', 'busy');
    end if;
  end if;

  if v_wanted or p_read then
    perform private.write_event(
      private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, v_row.id, v_row.integration_type,
      v_row.external_account_id, 'opened', p_reason => p_reason, p_request_id => p_request_id,
      p_details => private.named_key(p_service_key)
    );
  end if;
  if v_wanted then
    return v_claim || jsonb_build_object('outcome', 'claimed');
  end if;
  return jsonb_build_object(
    'outcome', 'current',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', case when p_read then v_row.config::text end,
    'version', case when p_read then private.version_of(v_row.config) end,
    'data_keys', case when p_read then public.data_keys(array[v_row.organization_id]) -> 'data_keys' end,
    'status', v_row.status,
    'status_reason', v_row.status_reason,
    'expires_at', v_row.token_expires_at,
    'paused_seconds', ceil(extract(epoch from v_paused_until - now()))::integer,
    'settled', coalesce(v_lease.settled_at > now() - interval '30 seconds', false)
  );
end
$function$;
comment on function claim_refresh(uuid,uuid,uuid,integer,boolean,text,text,uuid) is 'Claims the refresh of one integration. With p_within only if the access token expires within that many seconds; without it in any case. A refresh less than 30 seconds ago is not repeated, unless with p_within the token has expired. p_user_id and p_service_key null: the worker itself. With p_read the stored credential is returned, with the data keys of its organization, when there is nothing to refresh. Returns claimed (refresh and settle), busy (another worker refreshes; ask again), failed (it has just failed, or the provider is paused for paused_seconds), current, or unknown.';
grant execute on function claim_refresh(uuid,uuid,uuid,integer,boolean,text,text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.claim_revocations(p_owner uuid, p_limit integer, p_types text[], p_wide_types text[], p_request_id text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.pending_revocations;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_room integer := 1048576;
begin
  if p_owner is null or p_limit is null or p_limit not between 1 and 100 or p_types is null or p_wide_types is null then
    raise exception 'p_limit is not between 1 and 100, or an argument is null' using errcode = 'invalid_parameter_value';
  end if;

  with expired as (
    delete from public.pending_connections p
      where p.id in (
        select e.id from public.pending_connections e
        where e.expires_at <= now() order by e.expires_at limit 500 for update skip locked
      )
      returning *
  )
  insert into private.pending_revocations (
    id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, external_user_id, config, reason
  )
    select e.id, e.organization_id, e.id, e.integration_type, e.oauth_app_id,
      case when jsonb_array_length(e.accounts) = 1 then e.accounts->0->>'id' end, e.user_id,
      private.external_user_of(e.connect_session_id), e.config, case when e.accounts is null then 'abandoned' else 'expired' end
    from expired e
    on conflict (id) do nothing;

  for v_row in
    select * from private.pending_revocations r
    where r.give_up_at <= now() and (r.leased_until is null or r.leased_until <= now())
    limit 500 for update skip locked
  loop
    perform private.end_revocation(v_row, 'failed', p_request_id);
  end loop;

  for v_row in
    select r.* from private.pending_revocations r
    join (
      select d.id, row_number() over (partition by d.organization_id order by d.next_attempt_at) as turn
      from private.pending_revocations d
      where d.next_attempt_at <= now() and (d.leased_until is null or d.leased_until <= now())
        and (d.integration_type = any (p_types) or d.oauth_app_id is not null)
    ) due on due.id = r.id
    where r.leased_until is null or r.leased_until <= now()
    order by due.turn, r.next_attempt_at
    limit p_limit
    for update of r skip locked
  loop
    exit when v_room <= 0;
    if v_row.integration_type = any (p_wide_types)
      and private.grant_is_shared(
        v_row.integration_type, v_row.oauth_app_id, v_row.external_account_id, v_row.user_id, v_row.organization_id,
        v_row.external_user_id
      )
    then
      perform private.end_revocation(v_row, 'kept', p_request_id);
      continue;
    end if;
    update private.pending_revocations r set owner = p_owner, leased_until = now() + interval '60 seconds' where r.id = v_row.id;
    perform private.write_event(
      'service', null, v_row.organization_id, v_row.sealed_for, v_row.integration_type, v_row.external_account_id, 'opened',
      p_reason => 'revoke', p_request_id => p_request_id
    );
    v_claim := private.revocation_claim(v_row);
    v_claims := v_claims || v_claim;
    v_room := v_room - octet_length(v_claim::text);
  end loop;
  return jsonb_build_object('outcome', 'claimed', 'claims', to_jsonb(v_claims));
end
$function$;
comment on function claim_revocations(uuid,integer,text[],text[],text) is 'Claims up to p_limit due revocations of these types, and of organizations'' own apps, in turns between organizations. First it queues the grants of expired pending connections, gives up what has failed for a day, and keeps grants of p_wide_types that another integration now uses.';
grant execute on function claim_revocations(uuid,integer,text[],text[],text) to service_role;

CREATE OR REPLACE FUNCTION public.claim_scan_runs(p_owner uuid, p_limit integer, p_types text[], p_soon integer, p_request_id text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
$function$;
comment on function claim_scan_runs(uuid,integer,text[],integer,text) is 'Claims up to p_limit runs of these types for three minutes, organizations in turns, and returns their sealed configs. Each claim has a higher generation; what an earlier one writes is rejected. A run whose token expires within p_soon seconds, or whose refreshed token is not stored yet, is postponed by a minute: the worker refreshes it. Runs of a paused provider wait. A run whose integration needs a reconnection, that has another account by now, or that five claims have not moved, ends here. position is null at the beginning; with another catalogue than the scanner''s the scan starts again. Together configs and positions are at most about 8 MiB.';
grant execute on function claim_scan_runs(uuid,integer,text[],integer,text) to service_role;

CREATE OR REPLACE FUNCTION public.claim_webhook_deliveries(p_owner uuid, p_limit integer, p_slow integer DEFAULT 100, p_skip uuid[] DEFAULT '{}'::uuid[])
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
declare
  v_claims jsonb;
begin
  if p_owner is null or p_limit is null or p_limit not between 1 and 100 or p_slow is null or p_slow not between 0 and 100 or p_skip is null
  then
    raise exception 'p_limit is not between 1 and 100, p_slow not between 0 and 100, or an argument is null' using
      errcode = 'invalid_parameter_value';
  end if;

  -- The endpoints with waiting deliveries, each found by one index lookup.
  with recursive waiting (endpoint_id) as (
    (select d.endpoint_id from public.webhook_deliveries d where d.state = 'pending' order by d.endpoint_id limit 1)
    union all
    select (
      select d.endpoint_id from public.webhook_deliveries d
      where d.state = 'pending' and d.endpoint_id > w.endpoint_id
      order by d.endpoint_id limit 1
    )
    from waiting w where w.endpoint_id is not null
  ), endpoints as materialized (
    select e.id, e.organization_id, e.failing_since is not null as is_failing, e.slow_until = 'infinity' as is_new,
      e.failing_since is not null or e.slow_until > now() as is_slow,
      e.enabled and e.rests_until <= now() and e.id <> all (p_skip) as is_open,
      f.in_flight, (sum(f.in_flight) over (partition by e.organization_id))::integer as organization_in_flight
    from waiting w
    join public.webhook_endpoints e on e.id = w.endpoint_id
    cross join lateral (
      select count(*)::integer as in_flight from public.webhook_deliveries l
      where l.endpoint_id = e.id and l.owner is not null and l.leased_until > now()
    ) f
  ), heads as (
    select e.*, c.event_id, c.position, e.in_flight + c.turn as turn
    from endpoints e
    cross join lateral (
      select d.event_id, d.position, row_number() over (order by d.next_attempt_at, d.position) as turn
      from public.webhook_deliveries d
      where d.endpoint_id = e.id and d.state = 'pending' and d.next_attempt_at <= now() and d.expires_at > now()
        and coalesce(d.leased_until <= now(), true)
        and not exists (
          select from public.webhook_deliveries earlier
          where earlier.endpoint_id = d.endpoint_id and earlier.integration_id = d.integration_id
            and earlier.position < d.position and earlier.state = 'pending'
        )
      order by d.next_attempt_at, d.position
      limit greatest(case when e.is_failing or (e.is_slow and not e.is_new) then 1 else 10 end - e.in_flight, 0)
    ) c
    where e.is_open and e.organization_in_flight < 20
  ), shares as (
    select h.*, h.organization_in_flight + row_number() over (
        partition by h.organization_id order by h.is_slow, h.is_failing, h.turn, h.position
      ) as share
    from heads h
  ), places as (
    select s.id as endpoint_id, s.event_id, s.is_slow,
      row_number() over (
        partition by s.is_slow
        -- Equals are in random order: an older backlog gives no precedence.
        order by s.share, s.is_failing, not s.is_new, random()
      ) as place
    from shares s
    where s.share <= 20
  ), candidates as (
    select p.endpoint_id, p.event_id from places p
    where not p.is_slow or p.place <= p_slow
    order by p.is_slow, p.place
    limit p_limit
  ), taken as (
    select d.endpoint_id, d.event_id
    from public.webhook_deliveries d
    where (d.endpoint_id, d.event_id) in (select c.endpoint_id, c.event_id from candidates c)
      and d.state = 'pending' and d.next_attempt_at <= now() and coalesce(d.leased_until <= now(), true)
    for update skip locked
  ), claimed as (
    -- Longer than the worker needs: its lanes finish a claim within a minute, with 10 s for each request.
    update public.webhook_deliveries d
      set owner = p_owner, leased_until = now() + interval '2 minutes'
      from taken t
      where d.endpoint_id = t.endpoint_id and d.event_id = t.event_id
      returning d.*
  )
  select jsonb_agg(
    jsonb_build_object(
      'endpoint_id', e.id,
      'organization_id', private.sealing_organization(e.organization_id),
      'url', e.url,
      'config', e.config,
      'both', coalesce(e.previous_secret_ends_at > now(), false),
      'slow', e.failing_since is not null or e.slow_until > now(),
      'event_id', w.id,
      'type', w.type,
      'occurred_at', w.occurred_at,
      'data', w.data
    )
    order by p.is_slow, p.place
  ) into v_claims
    from claimed c
    join places p on p.endpoint_id = c.endpoint_id and p.event_id = c.event_id
    join public.webhook_endpoints e on e.id = c.endpoint_id
    join private.webhook_events w on w.id = c.event_id;
  return jsonb_build_object('outcome', 'claimed', 'deliveries', coalesce(v_claims, '[]'));
end
$function$;
comment on function claim_webhook_deliveries(uuid,integer,integer,uuid[]) is 'Claims up to p_limit deliveries to endpoints that are not in p_skip. Of each integration it claims only the earliest undelivered event for an endpoint, so that events of one integration are delivered in order. Shares are fair: the organization with fewer deliveries in flight comes first, whatever the age of its backlog, and within it the endpoint with fewer. An organization has at most 20 in flight, an endpoint 10. An endpoint that is slow, failing or new comes last, and p_slow bounds how many deliveries for those one claim holds. A slow or failing one has a single delivery in flight, and a slow one pauses in between.';
grant execute on function claim_webhook_deliveries(uuid,integer,integer,uuid[]) to service_role;

CREATE OR REPLACE FUNCTION public.clean_up(p_event_days integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function clean_up(integer) is 'Writes the events of rotations that were killed. Deletes replaced data keys that nothing uses, and what has expired: authorization transactions, rate limits, ended connections, connect sessions that ended a day ago, settled deliveries of two weeks ago; events, service keys that have ended, runs of the scanner, ended findings and mutes older than p_event_days. Ends runs that have not ended within a day. more: a bound was reached.';
grant execute on function clean_up(integer) to service_role;

CREATE OR REPLACE FUNCTION public.complete_connection(p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text, p_config jsonb, p_request_id text, p_pending_id uuid DEFAULT NULL::uuid, p_reconnect boolean DEFAULT false, p_second_grant text DEFAULT NULL::text, p_granted_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_connect_session_id uuid DEFAULT NULL::uuid, p_service_key uuid DEFAULT NULL::uuid, p_external_user_id text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.integrations;
  v_granted_at timestamptz := p_granted_at;
  v_app_id uuid;
  v_external_user_id text := coalesce(p_external_user_id, private.external_user_of(p_connect_session_id));
  v_name text;
  v_outcome text;
  v_action text;
begin
  if p_external_account_id is null
    or char_length(p_integration_type) not between 1 and 64
    or char_length(p_name) not between 1 and 200
    or jsonb_typeof(p_config) is distinct from 'object'
    or octet_length(p_config::text) > 262144
    or p_second_grant not in ('replaces', 'separate')
  then
    raise exception 'an argument is missing or out of bounds' using
      errcode = 'invalid_parameter_value',
      hint = 'type 1 to 64 characters, name 1 to 200, account not null, config an object of at most 256 KiB';
  end if;

  if not (
    case
      when p_service_key is null then private.lock_connector(p_user_id, p_connect_session_id, p_organization_id)
      else private.lock_access(null, p_service_key, 'connections:import', p_organization_id)
    end
  ) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  perform private.lock_names(p_organization_id, p_integration_type);

  if p_pending_id is not null then
    -- Locked, not yet deleted: after the outcome exists the caller calls again with this row.
    select p.created_at, p.oauth_app_id into v_granted_at, v_app_id from public.pending_connections p
      where p.id = p_pending_id and (p.user_id = p_user_id or p.connect_session_id = p_connect_session_id)
        and p.organization_id = p_organization_id and p.integration_type = p_integration_type and p.expires_at > now()
      for update;
    if not found then
      -- A repeated call whose first response was lost.
      perform from public.integrations i
        where i.id = p_id and i.organization_id = p_organization_id and i.config = p_config;
      return case
        when found then jsonb_build_object('outcome', 'updated', 'id', p_id)
        else jsonb_build_object('outcome', 'unknown')
      end;
    end if;
  elsif exists (select from private.ended_connections e where e.id = p_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_reconnect then
    select * into v_row from public.integrations i
      where i.id = p_id and i.organization_id = p_organization_id and i.integration_type = p_integration_type
      for update;
    if not found then
      return jsonb_build_object('outcome', 'unknown');
    end if;
    if private.account_of(v_row) is distinct from p_external_account_id then
      return jsonb_build_object('outcome', 'mismatch');
    end if;
  end if;

  -- Each iteration has its own snapshot. A conflict means that another transaction has inserted a row: the next iteration sees it, or
  -- inserts because that row was deleted again.
  loop
    select * into v_row from public.integrations i
      where i.organization_id = p_organization_id and i.integration_type = p_integration_type
        and i.external_account_id = p_external_account_id
      for update;
    if found and v_row.id <> p_id then
      return case
        when p_reconnect then jsonb_build_object('outcome', 'mismatch')
        else jsonb_build_object('outcome', 'exists', 'id', v_row.id)
      end;
    end if;

    if not found then
      select * into v_row from public.integrations i where i.id = p_id for update;
      if found and (
        v_row.organization_id <> p_organization_id or v_row.integration_type <> p_integration_type
        or v_row.external_account_id <> p_external_account_id
      ) then
        return jsonb_build_object('outcome', 'unknown');
      end if;
    end if;
    -- Two calls at the same time have no order.
    if v_row.granted_at > v_granted_at + interval '5 seconds' then
      return jsonb_build_object('outcome', 'outdated');
    end if;

    v_name := private.unique_name(p_organization_id, p_integration_type, p_id, p_name, p_external_account_id);
    if v_row.id is not null then
      -- Grants of two clients are separate, whatever the provider makes of two grants of one.
      if p_second_grant = 'separate' or (p_pending_id is not null and not private.same_client(v_row.oauth_app_id, v_app_id)) then
        perform private.queue_replaced(v_row);
      end if;
      -- An earlier grant of this client may be queued since the row had another client. It may be this grant, or its revocation may end this one.
      if p_second_grant is distinct from 'separate' then
        perform private.end_revocation(r, 'kept', p_request_id) from private.pending_revocations r
          where r.sealed_for = p_id and r.reason = 'replaced' and (r.leased_until is null or r.leased_until <= now())
            and private.same_client(r.oauth_app_id, v_app_id);
      end if;
      perform set_config('integrations.connect', 'on', true);
      update public.integrations i
        set external_account_id = p_external_account_id,
          name = case when i.name_is_custom then i.name else v_name end,
          config = p_config,
          oauth_app_id = v_app_id,
          status = 'active',
          granted_at = coalesce(v_granted_at, now()),
          external_user_id = coalesce(v_external_user_id, i.external_user_id),
          connected_by = private.connected_by(p_user_id, p_connect_session_id, p_service_key),
          tags = coalesce(private.tags_of_session(p_connect_session_id), i.tags),
          may_have_earlier_grant = i.may_have_earlier_grant or p_second_grant is null
        where i.id = p_id;
      perform set_config('integrations.connect', 'off', true);
      v_outcome := 'updated';
      exit;
    end if;

    insert into public.integrations (
      id, organization_id, integration_type, external_account_id, name, config, status, granted_at, external_user_id, oauth_app_id,
      connected_by, tags
    ) values (
      p_id, p_organization_id, p_integration_type, p_external_account_id, v_name, p_config, 'active', coalesce(v_granted_at, now()),
      v_external_user_id, v_app_id,
      private.connected_by(p_user_id, p_connect_session_id, p_service_key), coalesce(private.tags_of_session(p_connect_session_id), '{}')
    )
      on conflict do nothing;
    if found then
      v_outcome := 'created';
      exit;
    end if;
  end loop;

  delete from public.pending_connections p where p.id = p_pending_id;
  if p_connect_session_id is not null then
    perform private.end_connect_session(p_connect_session_id, p_id);
  end if;

  v_action := case v_outcome when 'created' then 'connected' else 'reconnected' end;
  if p_service_key is null then
    perform private.write_connector_event(
      p_user_id, p_connect_session_id, p_organization_id, p_id, p_integration_type, p_external_account_id, v_action,
      case when p_reconnect then 'requested' end, p_request_id
    );
  else
    perform private.write_event(
      'service_key', null, p_organization_id, p_id, p_integration_type, p_external_account_id, v_action, p_reason => 'import',
      p_request_id => p_request_id, p_details => private.named_key(p_service_key)
    );
  end if;
  return jsonb_build_object('outcome', v_outcome, 'id', p_id);
end
$function$;
comment on function complete_connection(uuid,uuid,uuid,text,text,text,jsonb,text,uuid,boolean,text,timestamp with time zone,uuid,uuid,text) is 'Writes the row p_id, for which p_config was sealed, and no other. If the account already has another row, nothing is written and the answer names that row; the caller seals again for it. With p_pending_id the pending connection is deleted in the same transaction. If it is gone, the answer is unknown and nothing is written: the grant was given up. So a grant is always either stored or still pending, never both. With p_reconnect no other row than p_id may be written: the answer is unknown if it is gone, and mismatch if it has another account or another row has this account. p_second_grant says what this grant does to the one that it replaces: replaces (the provider ended it), separate (it is queued for revocation), null (unknown: the row records that it may still exist). The grant of another app is always separate; if the row returns to that app, the queued one is kept. p_granted_at says when the user entered the credentials; a grant has the time of its pending connection. If the row has newer ones, the answer is outdated and nothing is written. With p_connect_session_id (p_user_id null) the same transaction completes the session, and the row gets its end user and, if the session has any, its tags. p_service_key imports: see import_connection.';
grant execute on function complete_connection(uuid,uuid,uuid,text,text,text,jsonb,text,uuid,boolean,text,timestamp with time zone,uuid,uuid,text) to service_role;

CREATE OR REPLACE FUNCTION public.connect_named(p_id uuid, p_user_id uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text, p_config jsonb, p_request_id text, p_custom_name text, p_pending_id uuid DEFAULT NULL::uuid, p_reconnect boolean DEFAULT false, p_second_grant text DEFAULT NULL::text, p_granted_at timestamp with time zone DEFAULT NULL::timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_answer jsonb;
  v_old text;
begin
  if p_custom_name is null or char_length(p_custom_name) not between 1 and 200 then
    raise exception 'p_custom_name is missing or out of bounds' using
      errcode = 'invalid_parameter_value', hint = 'a name of 1 to 200 characters';
  end if;

  -- Membership first, then the names: every caller that chooses a name locks both in this order.
  if not private.lock_admin(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  perform private.lock_names(p_organization_id, p_integration_type);

  if exists (
    select from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type and i.name = p_custom_name
      and i.external_account_id is distinct from p_external_account_id
  ) then
    return jsonb_build_object('outcome', 'name_taken');
  end if;
  select i.name into v_old from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type
      and i.external_account_id = p_external_account_id;

  v_answer := public.complete_connection(
    p_id => p_id, p_user_id => p_user_id, p_organization_id => p_organization_id, p_integration_type => p_integration_type,
    p_external_account_id => p_external_account_id, p_name => p_name, p_config => p_config, p_request_id => p_request_id,
    p_pending_id => p_pending_id, p_reconnect => p_reconnect, p_second_grant => p_second_grant,
    p_granted_at => p_granted_at
  );
  if v_answer->>'outcome' not in ('created', 'updated') then
    return v_answer;
  end if;
  update public.integrations i set name = p_custom_name, name_is_custom = true where i.id = p_id;
  if v_old <> p_custom_name then
    perform private.write_event(
      'user', p_user_id, p_organization_id, p_id, p_integration_type, p_external_account_id, 'renamed', p_request_id => p_request_id
    );
  end if;
  return v_answer;
end
$function$;
comment on function connect_named(uuid,uuid,uuid,text,text,text,jsonb,text,text,uuid,boolean,text,timestamp with time zone) is 'Like complete_connection, with a name that the user chose and that stays. Returns name_taken, and writes nothing, if another integration of the type in the organization has the name.';
grant execute on function connect_named(uuid,uuid,uuid,text,text,text,jsonb,text,text,uuid,boolean,text,timestamp with time zone) to service_role;

CREATE OR REPLACE FUNCTION public.consume_transaction(p_state_hash text, p_binding_hash text, p_user_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_transaction public.oauth_transactions;
  v_session_id uuid;
begin
  if p_user_id is null then
    -- The session before its transaction, as in begin_connection.
    select s.id into v_session_id from private.connect_sessions s
      where s.id = (select t.connect_session_id from public.oauth_transactions t where t.state_hash = p_state_hash)
      for update;
  end if;

  -- Of several concurrent callbacks one deletes the row. The others wait for its commit and find none.
  delete from public.oauth_transactions t
    where t.state_hash = p_state_hash and t.binding_hash = p_binding_hash and t.expires_at > now()
      and (t.user_id = p_user_id or t.connect_session_id = v_session_id)
    returning * into v_transaction;

  if not found then
    if exists (
      select from public.oauth_transactions t where t.state_hash = p_state_hash and t.expires_at > now()
    ) then
      return jsonb_build_object('outcome', 'foreign');
    end if;
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_user_id is null then
    if not private.connect_session_is_open(v_session_id) then
      return jsonb_build_object('outcome', 'unknown');
    end if;
    -- From here on the session ends connected or failed: it has one authorization.
    update private.connect_sessions s set is_used = true where s.id = v_session_id;
  elsif not private.lock_admin(p_user_id, v_transaction.organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  return jsonb_build_object(
    'outcome', 'consumed',
    'connect_session', private.return_of(v_session_id),
    'id', v_transaction.id,
    'organization_id', v_transaction.organization_id,
    'integration_type', v_transaction.integration_type,
    'issuer', v_transaction.issuer,
    'redirect_uri', v_transaction.redirect_uri,
    'verifier', v_transaction.verifier,
    'return_to', v_transaction.return_to,
    'integration_id', v_transaction.integration_id,
    'account_id', (
      select private.account_of(i) from public.integrations i
      where i.id = v_transaction.integration_id and i.organization_id = v_transaction.organization_id
        and i.integration_type = v_transaction.integration_type
    )
  ) || private.oauth_app(v_transaction.oauth_app_id);
end
$function$;
comment on function consume_transaction(text,text,uuid) is 'Consumes an authorization transaction, once. p_user_id null: the transaction of a connect session. Returns consumed with its parameters, foreign (another browser or user), not_a_member, or unknown (not found, expired, or already used).';
grant execute on function consume_transaction(text,text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.create_connect_session(p_service_key uuid, p_id uuid, p_token_hash text, p_organization_id uuid, p_external_user_id text, p_external_user_name text, p_integration_types text[], p_reconnects uuid, p_return_url text, p_return_state text, p_code_challenge text, p_scopes jsonb, p_metadata jsonb, p_oauth_apps jsonb DEFAULT '{}'::jsonb, p_tags jsonb DEFAULT NULL::jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_integration public.integrations;
  v_types text[] := p_integration_types;
  v_row private.connect_sessions;
begin
  if not private.service_key_covers(p_service_key, 'connect_sessions:write', p_organization_id) then
    return jsonb_build_object('outcome', 'foreign_organization');
  end if;

  if p_reconnects is not null then
    select * into v_integration from public.integrations i
      where i.id = p_reconnects and i.organization_id = p_organization_id and (v_types is null or i.integration_type = any (v_types));
    if not found then
      return jsonb_build_object('outcome', 'unknown_integration');
    end if;
    if private.account_of(v_integration) is null then
      return jsonb_build_object('outcome', 'no_account');
    end if;
    v_types := array[v_integration.integration_type];
  end if;
  if exists (select from jsonb_object_keys(p_scopes) asked where not asked = any (v_types)) then
    return jsonb_build_object('outcome', 'foreign_scopes');
  end if;
  -- A null is the deployment's app, for the reconnection of a row with another.
  if exists (
    select from jsonb_each_text(p_oauth_apps) asked
    where not asked.key = any (v_types) or asked.value is not null and not exists (
      select from private.oauth_apps a
      where a.id::text = asked.value and a.organization_id = p_organization_id and a.integration_type = asked.key
    )
  ) then
    return jsonb_build_object('outcome', 'unknown_app');
  end if;

  -- One at a time, so that the count holds.
  perform pg_advisory_xact_lock(hashtextextended('connect sessions ' || p_service_key, 0));
  perform pg_advisory_xact_lock(hashtextextended('connect sessions ' || p_organization_id, 0));
  if (
    select count(*) from private.connect_sessions s
    where s.organization_id = p_organization_id and s.state in ('pending', 'opened', 'waiting_for_completion') and s.expires_at > now()
  ) >= 1000 or (
    select count(*) from private.connect_sessions s
    where s.organization_id = p_organization_id and s.external_user_id = p_external_user_id
      and s.state in ('pending', 'opened', 'waiting_for_completion') and s.expires_at > now()
  ) >= 50 or (
    select count(*) from private.connect_sessions s
    where s.created_by = p_service_key and s.state in ('pending', 'opened', 'waiting_for_completion') and s.expires_at > now()
  ) >= 5000 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into private.connect_sessions (
    id, token_hash, created_by, organization_id, external_user_id, external_user_name, integration_types, reconnects, return_url,
    return_state, code_challenge, scopes, oauth_apps, metadata, tags
  ) values (
    p_id, p_token_hash, p_service_key, p_organization_id, p_external_user_id, p_external_user_name, v_types, p_reconnects, p_return_url,
    p_return_state, p_code_challenge, p_scopes, p_oauth_apps, p_metadata,
    case when jsonb_typeof(p_tags) = 'array' then private.tags_of(p_tags) end
  ) returning * into v_row;
  return jsonb_build_object('outcome', 'created', 'expires_at', v_row.expires_at);
end
$function$;
comment on function create_connect_session(uuid,uuid,text,uuid,text,text,text[],uuid,text,text,text,jsonb,jsonb,jsonb,jsonb) is 'Starts a connect session. p_reconnects: the integration whose account must be connected; then p_integration_types may be null. p_tags: the tags that the integration gets; null: it keeps its own. An organization has at most 1,000 unfinished sessions, each end user 50 of them, a service key 5,000. Returns created, foreign_organization (the key acts for another), unknown_integration, no_account (the integration has no recorded account), foreign_scopes (of a type that the session does not allow), unknown_app (p_oauth_apps names, by type, an app that the organization does not have, or a type that the session does not allow) or too_many.';
grant execute on function create_connect_session(uuid,uuid,text,uuid,text,text,text[],uuid,text,text,text,jsonb,jsonb,jsonb,jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.create_oauth_app(p_id uuid, p_organization_id uuid, p_integration_type text, p_name text, p_client_id text, p_slug text, p_config jsonb, p_user_id uuid DEFAULT NULL::uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.oauth_apps;
begin
  -- Concurrent calls of an organization queue here. If they counted at the same time, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('oauth_apps ' || p_organization_id, 0));

  if not private.lock_access(p_user_id, p_service_key, 'connections:write', p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if (select count(*) from private.oauth_apps a where a.organization_id = p_organization_id) >= 20 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into private.oauth_apps (id, organization_id, integration_type, name, client_id, slug, config)
    values (p_id, p_organization_id, p_integration_type, p_name, p_client_id, p_slug, p_config)
    on conflict on constraint oauth_apps_client do nothing
    returning * into v_row;
  if not found then
    return jsonb_build_object('outcome', 'client_taken');
  end if;
  return jsonb_build_object('outcome', 'created', 'oauth_app', private.shown_oauth_app(v_row));
end
$function$;
comment on function create_oauth_app(uuid,uuid,text,text,text,text,jsonb,uuid,uuid) is 'Adds an OAuth app of an organization''s own. Returns created, not_a_member, too_many (20 an organization) or client_taken (the organization has an app of this type with this client id).';
grant execute on function create_oauth_app(uuid,uuid,text,text,text,text,jsonb,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.create_service_key(p_user_id uuid, p_organization_id uuid, p_name text, p_prefix text, p_hash text, p_scopes text[], p_expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_days integer DEFAULT NULL::integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.service_keys;
begin
  if p_user_id is not null and (p_organization_id is null or not private.lock_membership(p_user_id, p_organization_id)) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if p_user_id is not null and not private.is_owner(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_the_owner');
  end if;
  if p_expires_at <= now() then
    return jsonb_build_object('outcome', 'expired');
  end if;
  -- One at a time, so that the count holds.
  perform pg_advisory_xact_lock(hashtextextended('service keys ' || coalesce(p_organization_id::text, ''), 0));
  if (
    select count(*) from private.service_keys k
    where k.organization_id is not distinct from p_organization_id and k.revoked_at is null and coalesce(k.expires_at > now(), true)
  ) >= 50 then
    return jsonb_build_object('outcome', 'too_many');
  end if;
  insert into private.service_keys (organization_id, name, prefix, hash, scopes, created_by, expires_at)
    values (
      p_organization_id, p_name, p_prefix, p_hash, array(select distinct s from unnest(p_scopes) s order by s), p_user_id,
      coalesce(p_expires_at, now() + make_interval(days => p_days))
    )
    returning * into v_row;
  return jsonb_build_object('outcome', 'created', 'service_key', private.shown_service_key(v_row));
end
$function$;
comment on function create_service_key(uuid,uuid,text,text,text,text[],timestamp with time zone,integer) is 'Stores the hash of a new service key. p_user_id null: an operator, who alone may make a key of all organizations (p_organization_id null). The key expires at p_expires_at, or after p_days. An organization has at most 50 keys that are valid. Returns created, not_a_member, not_the_owner, expired (p_expires_at is past) or too_many.';
grant execute on function create_service_key(uuid,uuid,text,text,text,text[],timestamp with time zone,integer) to service_role;

CREATE OR REPLACE FUNCTION public.create_webhook_endpoint(p_id uuid, p_user_id uuid, p_organization_id uuid, p_url text, p_events text[], p_config jsonb, p_min_severity text DEFAULT NULL::text, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.webhook_endpoints;
begin
  -- Concurrent calls of an organization queue here. If they counted at the same time, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('webhook_endpoints ' || coalesce(p_organization_id::text, ''), 0));

  if not private.lock_endpoints_of(p_organization_id, p_user_id, p_service_key) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if (
    select count(*) from public.webhook_endpoints e where e.organization_id is not distinct from p_organization_id and e.deleted_at is null
  ) >= 10 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into public.webhook_endpoints (id, organization_id, url, events, min_severity, config)
    values (p_id, p_organization_id, p_url, p_events, p_min_severity, p_config)
    returning * into v_row;
  return jsonb_build_object('outcome', 'created', 'endpoint', private.shown_endpoint(v_row));
end
$function$;
comment on function create_webhook_endpoint(uuid,uuid,uuid,text,text[],jsonb,text,uuid) is 'Creates an endpoint. p_organization_id null: for the events of all organizations, by a service key of all. Returns created, not_a_member or too_many (ten an organization, and ten of the whole deployment).';
grant execute on function create_webhook_endpoint(uuid,uuid,uuid,text,text[],jsonb,text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.data_keys(p_organization_ids uuid[])
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function data_keys(uuid[]) is 'The wrapped data keys of at most 1000 organizations, the current one of each first.';
grant execute on function data_keys(uuid[]) to service_role;

CREATE OR REPLACE FUNCTION public.declare_fence(p_kids text[])
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
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
$function$;
comment on function declare_fence(text[]) is 'Declares the fence for a list of 1 to 16 key ids. Waits at most 2 s for running writers, then returns busy. The same list keeps the fence and its id; another list makes a new one. Returns fenced, busy or retired.';
grant execute on function declare_fence(text[]) to service_role;

CREATE OR REPLACE FUNCTION public.delete_oauth_app(p_id uuid, p_user_id uuid DEFAULT NULL::uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.oauth_apps := private.lock_oauth_app(p_id, p_user_id, p_service_key);
  v_connections bigint;
  v_grants bigint;
begin
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  -- Who stores a row that names the app waits for the app's lock, or has it stored by now.
  select count(*) into v_connections from public.integrations i where i.oauth_app_id = p_id;
  select (select count(*) from public.pending_connections p where p.oauth_app_id = p_id)
    + (select count(*) from private.pending_revocations r where r.oauth_app_id = p_id)
    into v_grants;
  if v_connections + v_grants > 0 then
    return jsonb_build_object('outcome', 'in_use', 'connections', v_connections, 'grants', v_grants);
  end if;
  delete from private.oauth_apps a where a.id = p_id;
  delete from private.provider_pauses p where p.client = p_id::text;
  delete from private.provider_successes s where s.client = p_id::text;
  return jsonb_build_object('outcome', 'deleted');
end
$function$;
comment on function delete_oauth_app(uuid,uuid,uuid) is 'Deletes an app that nothing needs any more; what was started with it and has not returned ends. Returns deleted, unknown, or in_use with the number of connections, and of grants that are neither stored nor revoked yet.';
grant execute on function delete_oauth_app(uuid,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.delete_replaced_data_keys(p_limit integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
$function$;
comment on function delete_replaced_data_keys(integer) is 'Deletes up to p_limit data keys that were replaced 15 minutes ago and that no row is sealed with, and writes the event of each. left: the replaced keys that there still are.';
grant execute on function delete_replaced_data_keys(integer) to service_role;

CREATE OR REPLACE FUNCTION public.delete_webhook_endpoint(p_id uuid, p_user_id uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  -- Its deliveries may be millions. Deleting them here would take long, and whoever writes an event would wait for the row meanwhile.
  update public.webhook_endpoints e
    set deleted_at = now(), enabled = false, disabled_reason = null, config = '{}', previous_secret_ends_at = null, updated_at = now()
    where e.id = v_row.id;
  return jsonb_build_object('outcome', case when found then 'deleted' else 'unknown' end);
end
$function$;
comment on function delete_webhook_endpoint(uuid,uuid,uuid) is 'Deletes an endpoint and its secrets: nobody sees it and its deliveries any more, and nothing more is sent. clean_up deletes the rows. Returns deleted or unknown.';
grant execute on function delete_webhook_endpoint(uuid,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.disconnect_integration(p_id uuid, p_user_id uuid, p_owner uuid, p_wide_types text[], p_request_id text, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_organization_id uuid;
  v_integration public.integrations;
  v_row private.pending_revocations;
begin
  if p_owner is null or p_wide_types is null then
    raise exception 'p_owner or p_wide_types is null' using errcode = 'invalid_parameter_value';
  end if;
  select i.organization_id into v_organization_id from public.integrations i where i.id = p_id;
  if not found or not private.lock_access(p_user_id, p_service_key, 'connections:write', v_organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  -- The organization again: it is the one whose membership is locked.
  select * into v_integration from public.integrations i where i.id = p_id and i.organization_id = v_organization_id for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  insert into private.pending_revocations (
    organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, config, reason, owner, leased_until
  ) values (
    v_integration.organization_id, p_id, v_integration.integration_type, v_integration.oauth_app_id, private.account_of(v_integration),
    -- A service key has no grants at the provider: the user who connected has.
    coalesce(p_user_id, (
      select e.user_id from public.credential_events e
      where e.integration_id = p_id and e.action in ('connected', 'reconnected') order by e.id desc limit 1
    )),
    private.newest_config(v_integration), 'disconnected', p_owner, now() + interval '60 seconds'
  ) returning * into v_row;
  delete from public.integrations i where i.id = p_id;
  insert into private.ended_connections (id) values (p_id) on conflict (id) do nothing;
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, p_id, v_row.integration_type,
    v_integration.external_account_id, 'opened', p_reason => 'disconnect', p_request_id => p_request_id,
    p_details => private.named_key(p_service_key)
  );
  perform private.write_event(
    private.actor(p_user_id, p_service_key), p_user_id, v_row.organization_id, p_id, v_row.integration_type,
    v_integration.external_account_id, 'disconnected', p_request_id => p_request_id, p_details => private.named_key(p_service_key)
  );
  return jsonb_build_object(
    'outcome', 'disconnected',
    'revocation', private.revocation_claim(v_row),
    'earlier_grant', v_integration.may_have_earlier_grant,
    'shared', coalesce(
      (
        select jsonb_agg(jsonb_build_object('id', s.id, 'visible', private.has_access(p_user_id, p_service_key, 'connections:write', s.organization_id)))
        from (
          select i.id, i.organization_id from public.integrations i
          where v_row.integration_type = any (p_wide_types) and i.integration_type = v_row.integration_type
            and i.external_account_id = v_row.external_account_id and private.same_client(i.oauth_app_id, v_row.oauth_app_id)
          limit 100
        ) s
      ),
      '[]'
    )
  );
end
$function$;
comment on function disconnect_integration(uuid,uuid,uuid,text[],text,uuid) is 'Deletes an integration, whatever its config contains, and leases the revocation of its newest credential to p_owner. Returns earlier_grant if a replaced grant may still exist, and shared: at most 100 other integrations that a revocation of everything that the user has granted (p_wide_types) ends, each with its id and whether the caller may see it.';
grant execute on function disconnect_integration(uuid,uuid,uuid,text[],text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.end_mute(p_id uuid, p_user_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function end_mute(uuid,uuid) is 'Ends a mute early. Returns ended, also of one that had ended, or unknown.';
grant execute on function end_mute(uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.export_events(p_user_id uuid, p_service_key uuid, p_organization_id uuid, p_limit integer, p_transaction_id text DEFAULT NULL::text, p_id bigint DEFAULT NULL::bigint)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
$function$;
comment on function export_events(uuid,uuid,uuid,integer,text,bigint) is 'Up to p_limit events after (p_transaction_id, p_id), both null at the beginning, in the order of the transactions that wrote them. Events of transactions that are no older than the oldest running one wait, so whoever continues after the last event misses none. p_organization_id null: of all, for a service key of all. What the caller may not see is left out. Returns exported, or unknown_cursor: no transaction of this database has such an id yet, so the cursor is from before a restore.';
grant execute on function export_events(uuid,uuid,uuid,integer,text,bigint) to service_role;

CREATE OR REPLACE FUNCTION public.export_integrations(p_ids uuid[])
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function export_integrations(uuid[]) is 'The plain columns of up to 5000 integrations, by id, for keytool''s export. Their configs come from rewrap_read.';
grant execute on function export_integrations(uuid[]) to service_role;

CREATE OR REPLACE FUNCTION public.fail_connect_session(p_id uuid, p_failure text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
begin
  update private.connect_sessions s set state = 'failed', failure = p_failure where s.id = p_id and s.state = 'opened';
  if not found then
    return jsonb_build_object('outcome', 'over');
  end if;
  -- A grant that waits for the choice of an account is revoked by the schedule.
  update public.pending_connections p set expires_at = now() where p.connect_session_id = p_id and p.accounts is not null;
  return jsonb_build_object('outcome', 'failed');
end
$function$;
comment on function fail_connect_session(uuid,text) is 'Ends an opened connect session without a connection. Returns failed, or over (it has ended, or waits for its completion).';
grant execute on function fail_connect_session(uuid,text) to service_role;

CREATE OR REPLACE FUNCTION public.find_connect_session(p_service_key uuid, p_id uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(
    (
      select jsonb_build_object('outcome', 'found', 'connect_session', private.shown_connect_session(s))
      from private.connect_sessions s
      where s.id = p_id and private.service_key_covers(p_service_key, 'connect_sessions:write', s.organization_id)
    ),
    jsonb_build_object('outcome', 'unknown')
  );
$function$;
comment on function find_connect_session(uuid,uuid) is 'A connect session, for any service key of its organization. Returns found or unknown.';
grant execute on function find_connect_session(uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.find_integration_of_type(p_service_key uuid, p_organization_id uuid, p_integration_type text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_ids uuid[];
begin
  if not private.service_key_covers(p_service_key, 'connections:credentials', p_organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  v_ids := array(
    select i.id from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type limit 2
  );
  return case cardinality(v_ids)
    when 0 then jsonb_build_object('outcome', 'unknown')
    when 1 then jsonb_build_object('outcome', 'found', 'id', v_ids[1])
    else jsonb_build_object('outcome', 'several')
  end;
end
$function$;
comment on function find_integration_of_type(uuid,uuid,text) is 'The one integration of a type that an organization has. Returns found, several, or unknown.';
grant execute on function find_integration_of_type(uuid,uuid,text) to service_role;

CREATE OR REPLACE FUNCTION public.find_oauth_app(p_id uuid, p_user_id uuid DEFAULT NULL::uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.oauth_apps := private.lock_oauth_app(p_id, p_user_id, p_service_key);
begin
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  return jsonb_build_object('outcome', 'found', 'organization_id', v_row.organization_id, 'config', v_row.config);
end
$function$;
comment on function find_oauth_app(uuid,uuid,uuid) is 'Reads an app''s sealed secrets for a change of them. Returns found or unknown.';
grant execute on function find_oauth_app(uuid,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.find_opened_connect_session(p_id uuid, p_binding_hash text)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select coalesce(
    (
      select jsonb_build_object('outcome', 'opened', 'connect_session', private.opened_connect_session(s))
      from private.connect_sessions s where s.id = p_id and s.binding_hash = p_binding_hash
    ),
    jsonb_build_object('outcome', 'unknown')
  );
$function$;
comment on function find_opened_connect_session(uuid,text) is 'A connect session, for the browser that opened its link. Returns opened or unknown.';
grant execute on function find_opened_connect_session(uuid,text) to service_role;

CREATE OR REPLACE FUNCTION public.find_webhook_endpoint(p_id uuid, p_user_id uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.webhook_endpoints;
begin
  v_row := private.lock_endpoint(p_id, p_user_id, p_service_key);
  if v_row.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  return jsonb_build_object(
    'outcome', 'found', 'organization_id', private.sealing_organization(v_row.organization_id), 'config', v_row.config
  );
end
$function$;
comment on function find_webhook_endpoint(uuid,uuid,uuid) is 'Reads an endpoint''s sealed secrets for a change of the secret. Returns found or unknown.';
grant execute on function find_webhook_endpoint(uuid,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.finish_scan_run(p_id uuid, p_owner uuid, p_generation bigint, p_catalogue text, p_checks jsonb, p_results jsonb DEFAULT '[]'::jsonb, p_requests integer DEFAULT 0, p_reason text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
 SET plan_cache_mode TO 'force_custom_plan'
 SET enable_nestloop TO 'off'
 SET enable_seqscan TO 'off'
AS $function$
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
$function$;
comment on function finish_scan_run(uuid,uuid,bigint,text,jsonb,jsonb,integer,text) is 'Ends a claimed run: compares what it saw with what was known, in one transaction. p_checks: [{check_id, check_version, incomplete?, was?, clock?}], every check of the type, of which a part was not checked for the reason incomplete; was: its former ids; clock: it compares with the time. p_results: up to 5,000 results that were not saved yet. p_reason: why the scan ended before its end. Returns finished with the run and its counts, also when repeated; changed (another scanner has it, it ended, or the integration has another account), or gone.';
grant execute on function finish_scan_run(uuid,uuid,bigint,text,jsonb,jsonb,integer,text) to service_role;

CREATE OR REPLACE FUNCTION public.forgive_sign_ins(p_account text, p_address text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  -- In the order in which admit_sign_in locks them.
  delete from private.rate_limits r
    where r.kind = 'sign-ins of an address to an account' and r.subject = p_account || ' ' || p_address;
  delete from private.rate_limits r where r.kind = 'sign-ins to an account' and r.subject = p_account;
  return jsonb_build_object('outcome', 'forgiven');
end
$function$;
comment on function forgive_sign_ins(text,text) is 'Deletes the attempts on an account, not those of the address. Called after a correct password.';
grant execute on function forgive_sign_ins(text,text) to service_role;

CREATE OR REPLACE FUNCTION public.import_connection(p_id uuid, p_service_key uuid, p_organization_id uuid, p_integration_type text, p_external_account_id text, p_name text, p_config jsonb, p_granted_at timestamp with time zone, p_replace boolean, p_is_grant boolean, p_external_user_id text, p_request_id text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_row public.integrations;
begin
  if p_replace is null or p_is_grant is null or p_granted_at is null then
    raise exception 'p_replace, p_is_grant or p_granted_at is null' using errcode = 'invalid_parameter_value';
  end if;
  if not private.lock_access(null, p_service_key, 'connections:import', p_organization_id) then
    return jsonb_build_object('outcome', 'foreign_organization');
  end if;
  -- Whoever stores a connection locks the names first, so no other can store this account meanwhile.
  perform private.lock_names(p_organization_id, p_integration_type);

  select * into v_row from public.integrations i
    where i.organization_id = p_organization_id and i.integration_type = p_integration_type
      and i.external_account_id = p_external_account_id
    for update;
  if not found then
    -- A row of an earlier application, which stored the account in the config only.
    select * into v_row from public.integrations i
      where i.organization_id = p_organization_id and i.integration_type = p_integration_type
        and i.external_account_id is null and private.account_of(i) = p_external_account_id
      order by i.created_at desc, i.id desc limit 1
      for update;
  end if;
  if found then
    if v_row.id = p_id and v_row.config = p_config then
      -- A repeated call whose first response was lost.
      return jsonb_build_object('outcome', case when p_replace then 'updated' else 'created' end, 'id', p_id);
    end if;
    -- An imported grant is the deployment's app's. The row would lose its own app.
    if v_row.oauth_app_id is not null then
      return jsonb_build_object('outcome', 'own_oauth_app');
    end if;
    if not p_replace then
      return jsonb_build_object('outcome', 'already_connected');
    end if;
    if v_row.id <> p_id then
      return jsonb_build_object('outcome', 'exists', 'id', v_row.id);
    end if;
    -- The imported grant may be the one that the row has. Then the refresh in progress redeems its refresh token, and what the refresh
    -- returns would be lost.
    if exists (
      select from public.credential_leases l
      where l.integration_id = p_id and (l.owner is not null and l.expires_at > now() or l.journal is not null)
    ) then
      return jsonb_build_object('outcome', 'refreshing');
    end if;
  end if;
  -- The imported grant may be the one that is queued. It would end soon after it was stored.
  if exists (
    select from private.pending_revocations r
    where r.organization_id = p_organization_id and r.integration_type = p_integration_type
      and r.external_account_id = p_external_account_id
  ) then
    return jsonb_build_object('outcome', 'revoking');
  end if;

  -- Nobody knows what the imported grant does to the earlier one: they may be the same. So the earlier one is not queued for revocation.
  return public.complete_connection(
    p_id => p_id, p_user_id => null, p_organization_id => p_organization_id, p_integration_type => p_integration_type,
    p_external_account_id => p_external_account_id, p_name => p_name, p_config => p_config, p_request_id => p_request_id,
    p_second_grant => case when not p_is_grant then 'replaces' end, p_granted_at => p_granted_at, p_service_key => p_service_key,
    p_external_user_id => p_external_user_id
  );
end
$function$;
comment on function import_connection(uuid,uuid,uuid,text,text,text,jsonb,timestamp with time zone,boolean,boolean,text,text) is 'Stores an imported connection in the row p_id, for which p_config was sealed. Without p_replace an account that has a row is not touched (already_connected), and neither is a row with an organization''s own app, with or without p_replace (own_oauth_app). With p_replace, that row gets the credentials; the answer exists names it if it is not p_id, and the caller seals again. The earlier credentials are not revoked: of a grant (p_is_grant) the row records that it may still exist. Other answers: created, updated, foreign_organization, outdated (the row has newer credentials), refreshing (a refresh of the row is in progress), revoking (a grant of the account is queued for revocation) or unknown (a repeated call, whose row was deleted). May be repeated.';
grant execute on function import_connection(uuid,uuid,uuid,text,text,text,jsonb,timestamp with time zone,boolean,boolean,text,text) to service_role;

CREATE OR REPLACE FUNCTION public.key_registry_state()
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function key_registry_state() is 'The fence, the state of every known key, what is sealed outside integrations (the number of rows by table and key id), and how many replaced data keys there are.';
grant execute on function key_registry_state() to service_role;

CREATE OR REPLACE FUNCTION public.lift_fence()
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
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
$function$;
comment on function lift_fence() is 'Lifts the fence. Returns lifted, not_fenced or busy.';
grant execute on function lift_fence() to service_role;

CREATE OR REPLACE FUNCTION public.list_oauth_apps(p_organization_id uuid, p_user_id uuid DEFAULT NULL::uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if not private.has_access(p_user_id, p_service_key, 'connections:read', p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  return jsonb_build_object('outcome', 'listed', 'oauth_apps', coalesce(
    (
      select jsonb_agg(private.shown_oauth_app(a) order by a.integration_type, a.name, a.id)
      from private.oauth_apps a where a.organization_id = p_organization_id
    ),
    '[]'
  ));
end
$function$;
comment on function list_oauth_apps(uuid,uuid,uuid) is 'The OAuth apps of an organization, without their secrets. Returns listed or not_a_member.';
grant execute on function list_oauth_apps(uuid,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.list_service_keys(p_user_id uuid, p_organization_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if p_user_id is not null and not private.is_member(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if p_user_id is not null and not private.is_owner(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_the_owner');
  end if;
  return jsonb_build_object('outcome', 'listed', 'service_keys', coalesce(
    (
      select jsonb_agg(private.shown_service_key(k) order by k.created_at desc, k.id)
      from (
        select * from private.service_keys s
        where p_organization_id is null and p_user_id is null or s.organization_id = p_organization_id
        order by s.created_at desc, s.id limit 1000
      ) k
    ),
    '[]'
  ));
end
$function$;
comment on function list_service_keys(uuid,uuid) is 'The newest 1,000 service keys of an organization, for its owner; for an operator (p_user_id null) without p_organization_id those of all. Returns listed, not_a_member or not_the_owner.';
grant execute on function list_service_keys(uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.mute_findings(p_user_id uuid, p_organization_id uuid, p_mute jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function mute_findings(uuid,uuid,jsonb) is 'Mutes the findings of a check: all of an organization, of an integration, of a resource, or one item. p_mute: {check_id, reason, note, expires_at, integration_id?, resource_id?, item?}; expires_at is within a year. Returns muted with the mute, not_a_member, unknown (the integration is not the organization''s), bad_end (expires_at is not after now, or more than a year), or too_many (1,000 at a time).';
grant execute on function mute_findings(uuid,uuid,jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.next_data_keys(p_after_organization_id uuid, p_after_kid text, p_wrapping_kid text, p_limit integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function next_data_keys(uuid,text,text,integer) is 'The next data keys by organization and key id that p_wrapping_kid does not wrap (null: all), at most 1000. None: the end.';
grant execute on function next_data_keys(uuid,text,text,integer) to service_role;

CREATE OR REPLACE FUNCTION public.offer_accounts(p_id uuid, p_user_id uuid, p_accounts jsonb, p_connect_session_id uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_row public.pending_connections;
begin
  select * into v_row from public.pending_connections p
    where p.id = p_id and (p.user_id = p_user_id or p.connect_session_id = p_connect_session_id);
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if not private.lock_connector(p_user_id, p_connect_session_id, v_row.organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  if p_connect_session_id is not null and not private.extend_connect_session(p_connect_session_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  update public.pending_connections p set accounts = p_accounts, expires_at = now() + interval '10 minutes' where p.id = p_id;
  return jsonb_build_object('outcome', case when found then 'waiting' else 'unknown' end);
end
$function$;
comment on function offer_accounts(uuid,uuid,jsonb,uuid) is 'Makes a pending connection wait ten minutes for its user to select one of the grant''s accounts.';
grant execute on function offer_accounts(uuid,uuid,jsonb,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.open_connect_session(p_token_hash text, p_binding_hash text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.connect_sessions;
begin
  select * into v_row from private.connect_sessions s where s.token_hash = p_token_hash for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if v_row.state <> 'pending' then
    return jsonb_build_object('outcome', 'used');
  end if;
  if v_row.expires_at <= now() then
    return jsonb_build_object('outcome', 'expired');
  end if;
  update private.connect_sessions s set state = 'opened', binding_hash = p_binding_hash where s.id = v_row.id;
  perform private.extend_connect_session(v_row.id);
  select * into v_row from private.connect_sessions s where s.id = v_row.id;
  return jsonb_build_object('outcome', 'opened', 'connect_session', private.opened_connect_session(v_row));
end
$function$;
comment on function open_connect_session(text,text) is 'Opens the link of a connect session, once, and binds the session to the browser. Returns opened, used (it was opened before), expired or unknown.';
grant execute on function open_connect_session(text,text) to service_role;

CREATE OR REPLACE FUNCTION public.park_connection(p_connect_session_id uuid, p_pending_id uuid, p_account jsonb, p_code_hash text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_row private.connect_sessions;
begin
  select * into v_row from private.connect_sessions s where s.id = p_connect_session_id for update;
  if v_row.state = 'waiting_for_completion' and v_row.code_hash = p_code_hash then
    return jsonb_build_object('outcome', 'parked');
  end if;
  if not found or v_row.state <> 'opened' or v_row.expires_at <= now() then
    return jsonb_build_object('outcome', 'over');
  end if;
  update public.pending_connections p set accounts = jsonb_build_array(p_account), expires_at = now() + interval '10 minutes'
    where p.id = p_pending_id and p.connect_session_id = p_connect_session_id and p.expires_at > now()
      and (p.accounts is null or p.accounts @> jsonb_build_array(p_account));
  if not found then
    return jsonb_build_object('outcome', 'over');
  end if;
  update private.connect_sessions s
    set state = 'waiting_for_completion', is_used = true, pending_id = p_pending_id, code_hash = p_code_hash,
      expires_at = now() + interval '10 minutes'
    where s.id = p_connect_session_id;
  return jsonb_build_object('outcome', 'parked');
end
$function$;
comment on function park_connection(uuid,uuid,jsonb,text) is 'Lets a pending connection wait ten minutes, with this account, until the backend completes the connect session. After that the schedule revokes the grant. May be repeated. Returns parked, or over (the session has ended, or the connection is no longer pending).';
grant execute on function park_connection(uuid,uuid,jsonb,text) to service_role;

CREATE OR REPLACE FUNCTION public.pause_provider(p_id uuid, p_endpoint text, p_seconds integer, p_organizations integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.integrations;
  v_until timestamptz;
begin
  if p_seconds is null or p_seconds not between 1 and 3600 then
    raise exception 'p_seconds is not between 1 and 3600' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from public.integrations i where i.id = p_id for key share;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  v_until := private.pause(v_row, p_endpoint, now() + make_interval(secs => p_seconds), p_organizations);
  if v_until is null then
    return jsonb_build_object('outcome', 'paused');
  end if;
  return jsonb_build_object('outcome', 'type_paused', 'until', v_until);
end
$function$;
comment on function pause_provider(uuid,text,integer,integer) is 'Stores a pause that a provider asked an integration for: p_seconds, at most an hour. A provider that needs longer can ask again. p_organizations: how many organizations must be paused within ten minutes before the pause covers the whole type, which means the integrations of the deployment''s app; null: it never does. One is enough for an organization''s own app. The type is paused for as long as that many organizations are, so no single one makes its pause longer. A longer pause stays. Returns paused (the integration), type_paused (all of its type) or unknown (the integration is gone).';
grant execute on function pause_provider(uuid,text,integer,integer) to service_role;

CREATE OR REPLACE FUNCTION public.pending_connection(p_id uuid, p_user_id uuid, p_reason text DEFAULT 'choose'::text, p_request_id text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row public.pending_connections;
begin
  select * into v_row from public.pending_connections p
    where p.id = p_id and p.user_id = p_user_id and p.accounts is not null and p.expires_at > now();
  if not found or not private.may_change(p_user_id, v_row.organization_id) then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if p_reason is not null then
    perform private.write_event(
      'user', p_user_id, v_row.organization_id, v_row.id, v_row.integration_type, null, 'opened',
      p_reason => p_reason, p_request_id => p_request_id
    );
  end if;
  return jsonb_build_object(
    'outcome', 'waiting',
    'organization_id', v_row.organization_id,
    'integration_type', v_row.integration_type,
    'config', case when p_reason is not null then v_row.config else '{}' end,
    'accounts', v_row.accounts,
    'return_to', v_row.return_to,
    'expires_at', v_row.expires_at
  );
end
$function$;
comment on function pending_connection(uuid,uuid,text,text) is 'Reads a pending connection that waits for its user to select an account. It returns the config only with p_reason, which says what the config is opened for and is written to the event.';
grant execute on function pending_connection(uuid,uuid,text,text) to service_role;

CREATE OR REPLACE FUNCTION public.read_sealed_elsewhere(p_table text DEFAULT NULL::text, p_id uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function read_sealed_elsewhere(text,uuid) is 'The next rows outside integrations that hold something sealed, in the order of table and id after p_table and p_id: at most 1000, and about a megabyte. config is a text, sealed_for the id that its values are bound to. No row: the end.';
grant execute on function read_sealed_elsewhere(text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.record_keys(p_kids text[])
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function record_keys(text[]) is 'Records that rows are sealed with these keys (at most 64). retire_key retires only keys that have been recorded.';
grant execute on function record_keys(text[]) to service_role;

CREATE OR REPLACE FUNCTION public.record_opening(p_reason text, p_kid text, p_organizations uuid[])
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if p_reason is null or p_reason not in ('rotate', 'verify', 'export') or p_organizations is null or cardinality(p_organizations) > 5000 then
    raise exception 'p_reason is not rotate, verify or export, or not at most 5000 organizations' using errcode = 'invalid_parameter_value';
  end if;
  insert into public.credential_events (actor, organization_id, action, outcome, reason, details)
    select 'keytool', o.id, 'opened', 'succeeded', p_reason, jsonb_strip_nulls(jsonb_build_object('to', p_kid, 'role', session_user))
    from unnest(p_organizations) o (id);
  return cardinality(p_organizations);
end
$function$;
comment on function record_opening(text,text,uuid[]) is 'Called before keytool opens rows of these organizations, to verify them, to export them or to rewrap them with p_kid: writes an event for each. Returns the number of events.';
grant execute on function record_opening(text,text,uuid[]) to service_role;

CREATE OR REPLACE FUNCTION public.record_rotation(p_part integer DEFAULT 0)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function record_rotation(integer) is 'Ends a rotation: writes the event rotated for each organization with rewrapped rows, and makes all earlier writes of rewrap_write durable. Some thousand organizations a call: returns the p_part of the next one, or null. Forgets the pending reseals of deleted integrations.';
grant execute on function record_rotation(integer) to service_role;

CREATE OR REPLACE FUNCTION public.release_scan_run(p_id uuid, p_owner uuid, p_generation bigint, p_seconds integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
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
$function$;
comment on function release_scan_run(uuid,uuid,bigint,integer) is 'Ends the claim of a run that this scanner cannot work on, because it lacks the key. Nobody claims the run for p_seconds, and the claim does not count as one that did not advance it. Returns released; changed, finished or gone: then nothing was written.';
grant execute on function release_scan_run(uuid,uuid,bigint,integer) to service_role;

CREATE OR REPLACE FUNCTION public.reopen_scan_credential(p_id uuid, p_owner uuid, p_generation bigint, p_soon integer, p_request_id text DEFAULT NULL::text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
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
$function$;
comment on function reopen_scan_credential(uuid,uuid,bigint,integer,text) is 'Returns the stored credential of a claimed run again, for a provider that no longer accepts the scanner''s one. Returns opened, not_usable (its token expires: save the position and release the run), changed, finished or gone.';
grant execute on function reopen_scan_credential(uuid,uuid,bigint,integer,text) to service_role;

CREATE OR REPLACE FUNCTION public.replace_data_keys(p_replacements jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
$function$;
comment on function replace_data_keys(jsonb) is 'Gives up to 1000 organizations a new data key, [{organization_id, replaced, kid, wrapping_kid, wrapped}], each only if replaced is still its current one, and the event rotated of each. The replaced key opens what it has sealed; its integrations are then pending reseals.';
grant execute on function replace_data_keys(jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.replay_webhook_delivery(p_endpoint_id uuid, p_event_id uuid, p_user_id uuid, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_endpoint public.webhook_endpoints;
begin
  v_endpoint := private.lock_endpoint(p_endpoint_id, p_user_id, p_service_key);
  if v_endpoint.id is null then
    return jsonb_build_object('outcome', 'unknown');
  end if;

  update public.webhook_deliveries d
    set state = 'pending', next_attempt_at = now(), expires_at = now() + interval '3 days',
      attempts = case d.state when 'pending' then d.attempts else 0 end,
      position = case d.state when 'pending' then d.position else nextval('private.webhook_positions') end
    where d.endpoint_id = p_endpoint_id and d.event_id = p_event_id and v_endpoint.enabled;
  if found then
    return jsonb_build_object('outcome', 'replayed');
  end if;
  perform from public.webhook_deliveries d where d.endpoint_id = p_endpoint_id and d.event_id = p_event_id;
  return jsonb_build_object('outcome', case when found then 'disabled' else 'unknown' end);
end
$function$;
comment on function replay_webhook_delivery(uuid,uuid,uuid,uuid) is 'Delivers an event again, after what is already undelivered, within three more days. Returns replayed, disabled or unknown.';
grant execute on function replay_webhook_delivery(uuid,uuid,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.request_scan(p_id uuid, p_user_id uuid, p_types text[])
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
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
$function$;
comment on function request_scan(uuid,uuid,text[]) is 'Queues a run of an integration for a user ("scan now"). p_types: the types that have checks. Returns queued with id and state, already_open with those of the run that has not ended, not_assessable (there are no checks for this type), reconnect_required, too_many with seconds (20 in an hour for each user), or unknown.';
grant execute on function request_scan(uuid,uuid,text[]) to service_role;

CREATE OR REPLACE FUNCTION public.reseal_secrets(p_resealed jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
$function$;
comment on function reseal_secrets(jsonb) is 'Writes up to 500 resealed secrets, [{table, id, read, config}], each only if the endpoint or app still has what was read. Records the keys that they were on.';
grant execute on function reseal_secrets(jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.retire_key(p_kid text, p_fence uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function retire_key(text,uuid) is 'Retires a key under the fence under which the caller''s scan found no row on it. Returns retired; not_fenced; allowed; unknown, if nothing was ever sealed with it; or needed, with the number of rows by table that it still opens (key_registry_state).';
grant execute on function retire_key(text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.revoke_service_key(p_user_id uuid, p_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  v_row private.service_keys;
begin
  select * into v_row from private.service_keys k where k.id = p_id for update;
  if not found or (p_user_id is not null and not private.is_owner(p_user_id, v_row.organization_id)) then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  update private.service_keys k set revoked_at = coalesce(k.revoked_at, now()) where k.id = p_id returning * into v_row;
  return jsonb_build_object('outcome', 'revoked', 'service_key', private.shown_service_key(v_row));
end
$function$;
comment on function revoke_service_key(uuid,uuid) is 'Ends a service key at once. For its organization''s owner, or an operator (p_user_id null). May be repeated. Returns revoked or unknown.';
grant execute on function revoke_service_key(uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.rewrap_data_keys(p_rewrapped jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
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
$function$;
comment on function rewrap_data_keys(jsonb) is 'Writes up to 1000 rewrapped data keys, [{organization_id, kid, read, wrapping_kid, wrapped}], each only if it is still wrapped as it was read, and the event rotated of each. Records the keys that wrapped them.';
grant execute on function rewrap_data_keys(jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.rewrap_load()
 RETURNS jsonb
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function rewrap_load() is 'The load that a rotation watches: the number of backends that have waited 100 ms for a lock, the replication lag in seconds (null without a replica or without the right to see it), and the planner''s estimates of the rows and of the pending reseals.';
grant execute on function rewrap_load() to service_role;

CREATE OR REPLACE FUNCTION public.rewrap_read(p_after uuid, p_limit integer, p_pending boolean, p_until uuid DEFAULT NULL::uuid, p_organization_id uuid DEFAULT NULL::uuid)
 RETURNS TABLE(id uuid, organization_id uuid, config jsonb, version text)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET plan_cache_mode TO 'force_custom_plan'
AS $function$
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
$function$;
comment on function rewrap_read(uuid,integer,boolean,uuid,uuid) is 'The next rows by id after p_after, up to p_until: at most p_limit, and about a megabyte. p_pending: only those that are not sealed with their organization''s current data key. No row: the end.';
grant execute on function rewrap_read(uuid,integer,boolean,uuid,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.rewrap_write(p_ids uuid[], p_versions text[], p_patches jsonb[], p_from_kids text[])
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET lock_timeout TO '2s'
AS $function$
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
$function$;
comment on function rewrap_write(uuid[],text[],jsonb[],text[]) is 'Replaces top-level fields of many configs, each only if its row is still the version that was read, and keeps in the same transaction what the rotation''s events will say of them. Returns the number of written rows. A patch holds the sealed fields, whole, and _enc, so key id and values change in one write; updated_at stays. p_from_kids are the former key ids, null for the legacy form. What is then sealed with the current data key is no pending reseal any more. A crash of the server may undo the batch, never half of it, until record_rotation has been called. Waits at most two seconds for another writer of a row, then fails whole with 55P03.';
grant execute on function rewrap_write(uuid[],text[],jsonb[],text[]) to service_role;

CREATE OR REPLACE FUNCTION public.save_scan_position(p_id uuid, p_owner uuid, p_generation bigint, p_catalogue text, p_position text, p_results jsonb, p_requests integer, p_not_before timestamp with time zone DEFAULT NULL::timestamp with time zone, p_limited boolean DEFAULT false, p_organizations integer DEFAULT NULL::integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
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
$function$;
comment on function save_scan_position(uuid,uuid,bigint,text,text,jsonb,integer,timestamp with time zone,boolean,integer) is 'Stores the position of a claimed run (p_position, the scanner''s own text of at most 8 MiB) with up to 5,000 results since, in one transaction. p_requests: the number of requests since. Without p_not_before the claim is prolonged by three minutes; with it the run is released until then, a day at most. p_limited: because of the provider''s rate limit; then the pause is one of the integration, and after p_organizations organizations of its type, as pause_provider stores it. Returns saved; full (the position is larger, or all results more than 50,000: end the scan and finish it, as incomplete); changed (another scanner has it), finished or gone: then nothing was written.';
grant execute on function save_scan_position(uuid,uuid,bigint,text,text,jsonb,integer,timestamp with time zone,boolean,integer) to service_role;

CREATE OR REPLACE FUNCTION public.schedule_state()
 RETURNS jsonb
 LANGUAGE sql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
  select jsonb_build_object(
    'overdue_seconds', greatest(0, floor(extract(epoch from now() - least(
      (select min(t.expires_at) from public.oauth_transactions t),
      (select min(p.expires_at) from public.pending_connections p),
      (select min(r.ends_at) from private.rate_limits r)
    ))))::bigint
  );
$function$;
comment on function schedule_state() is 'For how many seconds something has been due that every run of the schedule cleans up, or 0. Far above a minute, the schedule does not run.';
grant execute on function schedule_state() to service_role;

CREATE OR REPLACE FUNCTION public.secrets_on(p_kids text[], p_limit integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function secrets_on(text[],integer) is 'Up to p_limit webhook endpoints and OAuth apps whose secrets are sealed with one of these keys, or with a replaced data key.';
grant execute on function secrets_on(text[],integer) to service_role;

CREATE OR REPLACE FUNCTION public.settle_checks(p_results jsonb, p_user_id uuid DEFAULT NULL::uuid, p_request_id text DEFAULT NULL::text, p_scan_types text[] DEFAULT '{}'::text[], p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
declare
  v_result record;
  v_end jsonb;
  v_ends jsonb := '{}';
begin
  if jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 100 then
    raise exception 'p_results is no list of at most 100' using errcode = 'invalid_parameter_value';
  end if;
  -- In the order of ids, as every function that locks several rows.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (id uuid, version text, status text, reason text, forbidden_days integer, schedule text, next_check_at timestamptz)
    order by r.id
  loop
    if v_result.id is null
      or v_result.status not in ('active', 'degraded', 'reconnect_required', 'revoked')
      or (v_result.reason is null) <> (coalesce(v_result.status, 'active') = 'active')
      or v_result.forbidden_days not between 0 and 365
    then
      raise exception 'a result is no known status with a reason where it is not active' using
        errcode = 'invalid_parameter_value';
    end if;
    begin
      v_end := private.settle_check(
        v_result.id, v_result.version, v_result.status, v_result.reason, v_result.forbidden_days, v_result.schedule, v_result.next_check_at, p_user_id,
        p_request_id, p_scan_types, p_service_key
      );
    exception when lock_not_available or deadlock_detected then
      -- A row that cannot be locked must not undo the others. Its claim expires.
      v_end := jsonb_build_object('end', 'busy');
    end;
    v_ends := v_ends || jsonb_build_object(v_result.id::text, v_end);
  end loop;
  return jsonb_build_object('outcome', 'ended', 'ends', v_ends);
end
$function$;
comment on function settle_checks(jsonb,uuid,text,text[],uuid) is 'Settles up to 100 checks, each by itself: [{id, version, status, reason?, schedule?, next_check_at?}]; without a status the claim is released. next_check_at follows from the schedule that was claimed. p_scan_types: the types that the scanner has checks for. When a slot of the schedule passes, an active integration of these types is queued for the scanner; for another one a run is recorded that did not run. Returns the outcome of each: checked with the result, changed (another config is stored; nothing was written), released, gone, or busy.';
grant execute on function settle_checks(jsonb,uuid,text,text[],uuid) to service_role;

CREATE OR REPLACE FUNCTION public.settle_refreshes(p_owner uuid, p_results jsonb, p_user_id uuid DEFAULT NULL::uuid, p_request_id text DEFAULT NULL::text, p_service_key uuid DEFAULT NULL::uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
declare
  v_result record;
  v_end text;
  v_ends jsonb := '{}';
begin
  if p_owner is null or jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 500 then
    raise exception 'p_results is no list of at most 500' using errcode = 'invalid_parameter_value';
  end if;
  -- In the order of ids, as every function that locks several rows.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (
        id uuid, generation bigint, config jsonb, fault text, retry_after integer, refusal jsonb, organization_id uuid,
        integration_type text, oauth_app_id uuid
      )
    order by r.id
  loop
    if (v_result.config is null) = (v_result.fault is null)
      or v_result.fault not in ('outcome_unknown', 'refused', 'unreadable', 'app_unreadable', 'invalid_grant', 'invalid_client', 'not_refreshable',
        'released')
      or jsonb_typeof(v_result.config) <> 'object'
      or octet_length(v_result.config::text) > 262144
    then
      raise exception 'a result is neither a config of at most 256 KiB nor a known fault' using
        errcode = 'invalid_parameter_value';
    end if;
    if v_result.refusal is not null and (
      coalesce(char_length(v_result.refusal->>'alike') not between 1 and 128, true)
      or coalesce(jsonb_typeof(v_result.refusal->'may_be_ours') <> 'boolean', true)
      or coalesce((v_result.refusal->>'tries')::integer not between 2 and 1000, true)
    ) then
      raise exception 'a refusal is not {"alike", "may_be_ours", "tries"} within bounds' using errcode = 'invalid_parameter_value';
    end if;
    begin
      v_end := case
        when v_result.config is not null then private.settle_refresh(
          v_result.id, p_owner, v_result.generation, v_result.config, p_user_id, p_request_id, p_service_key)
        else private.fail_refresh(
          v_result.id, p_owner, v_result.generation, v_result.fault, v_result.retry_after, v_result.refusal, p_user_id, p_request_id,
          p_service_key)
      end;
    exception when lock_not_available or deadlock_detected then
      -- A row that cannot be locked must not undo the others. Its lease expires, and the attempt stays recorded.
      v_end := 'backed_off';
    end;
    if v_end = 'gone' and v_result.config is not null and v_result.organization_id is not null then
      -- The integration was deleted during the refresh. The new tokens are stored nowhere else. Without its app nobody can revoke a grant.
      insert into private.pending_revocations (
        id, organization_id, sealed_for, integration_type, oauth_app_id, external_account_id, user_id, config, reason
      )
        select md5(v_result.id || v_result.config::text)::uuid, v_result.organization_id, v_result.id, v_result.integration_type,
          v_result.oauth_app_id, e.external_account_id, e.user_id, v_result.config, 'late'
        from (values (v_result.id)) deleted (id)
        left join lateral (
          select o.external_account_id, o.user_id from public.credential_events o
          where o.integration_id = deleted.id and o.action in ('connected', 'reconnected') order by o.id desc limit 1
        ) e on true
        where v_result.oauth_app_id is null or exists (select from private.oauth_apps a where a.id = v_result.oauth_app_id)
        on conflict (id) do nothing;
    elsif v_end = 'changed' and v_result.config is not null then
      -- The grant was replaced during the refresh, and is queued for revocation.
      update private.pending_revocations r
        set config = v_result.config, refresh_generation = null, next_attempt_at = now()
        where r.sealed_for = v_result.id and r.refresh_generation = v_result.generation;
    end if;
    v_ends := v_ends || jsonb_build_object(v_result.id::text, v_end);
  end loop;
  return jsonb_build_object('outcome', 'ended', 'ends', v_ends);
end
$function$;
comment on function settle_refreshes(uuid,jsonb,uuid,text,uuid) is 'Settles up to 500 refreshes that p_owner has claimed, each by itself: [{id, generation, config}] for what was refreshed, [{id, generation, fault, retry_after?}] for what was not. Returns the outcome of each: settled, journalled (the config is kept and written later), backed_off, reconnect_required, released, changed, or gone. The fresh tokens of an integration that is gone, or whose grant was replaced by a separate one, are queued for revocation. May be repeated. data_key_deleted: the data key that sealed the config has been deleted, and the claim still holds.';
grant execute on function settle_refreshes(uuid,jsonb,uuid,text,uuid) to service_role;

CREATE OR REPLACE FUNCTION public.settle_revocation(p_id uuid, p_owner uuid, p_result text, p_request_id text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5s'
AS $function$
declare
  v_row private.pending_revocations;
begin
  if p_result is null or p_result not in ('revoked', 'unsupported', 'unreadable', 'failed') then
    raise exception 'p_result is not revoked, unsupported, unreadable or failed' using errcode = 'invalid_parameter_value';
  end if;
  select * into v_row from private.pending_revocations r where r.id = p_id and r.owner = p_owner for update;
  if not found then
    return jsonb_build_object('outcome', 'unknown');
  end if;
  if p_result = 'failed' then
    update private.pending_revocations r
      set owner = null, leased_until = null, attempts = r.attempts + 1,
        next_attempt_at = now() + make_interval(secs => least(30 * 2 ^ least(r.attempts, 7), 3600))
      where r.id = p_id;
  else
    perform private.end_revocation(
      v_row, case p_result when 'revoked' then 'succeeded' when 'unreadable' then 'failed' else p_result end, p_request_id
    );
  end if;
  return jsonb_build_object('outcome', 'settled');
end
$function$;
comment on function settle_revocation(uuid,uuid,text,text) is 'Ends a leased revocation: revoked, unsupported (the provider has no endpoint for it), unreadable (the config will never open), or failed, which is retried later.';
grant execute on function settle_revocation(uuid,uuid,text,text) to service_role;

CREATE OR REPLACE FUNCTION public.settle_webhook_deliveries(p_owner uuid, p_results jsonb)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '3s'
AS $function$
declare
  v_result record;
  v_endpoint public.webhook_endpoints;
  v_delivery public.webhook_deliveries;
  v_next timestamptz;
begin
  if p_owner is null or jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 100 then
    raise exception 'p_results is no list of at most 100' using errcode = 'invalid_parameter_value';
  end if;

  -- In the order of ids, as every function that locks several rows.
  for v_result in
    select * from jsonb_to_recordset(p_results)
      as r (endpoint_id uuid, event_id uuid, status integer, error text, retry_after integer, url text, took_ms integer)
    order by r.endpoint_id, r.event_id
  loop
    select * into v_endpoint from public.webhook_endpoints e where e.id = v_result.endpoint_id for no key update;
    continue when not found;
    select * into v_delivery from public.webhook_deliveries d
      where d.endpoint_id = v_result.endpoint_id and d.event_id = v_result.event_id and d.owner = p_owner
      for update;
    continue when not found;

    if v_result.error = 'released' then
      update public.webhook_deliveries d set owner = null, leased_until = null
        where d.endpoint_id = v_result.endpoint_id and d.event_id = v_result.event_id;
      continue;
    end if;

    -- A random bit before the pause's end, so that deliveries that failed together are not retried together.
    v_next := now() + greatest(
      private.webhook_pause(v_delivery.attempts + 1) * (0.9 + 0.1 * random()),
      make_interval(secs => least(coalesce(v_result.retry_after, 0), 86400))
    );
    update public.webhook_deliveries d
      set owner = null, leased_until = null, attempts = d.attempts + 1, last_attempt_at = now(), last_status = v_result.status,
        last_error = v_result.error,
        state = case
          when v_result.error is null then 'delivered'
          when v_result.status = 410 or v_next > d.expires_at then 'failed'
          else 'pending'
        end,
        delivered_at = case when v_result.error is null then now() else d.delivered_at end,
        next_attempt_at = v_next
      where d.endpoint_id = v_result.endpoint_id and d.event_id = v_result.event_id;

    if v_result.took_ms >= 2000 then
      update public.webhook_endpoints e
        set slow_until = now() + interval '15 minutes',
          rests_until = now() + make_interval(secs => least(v_result.took_ms, 60000) / 1000.0)
        where e.id = v_endpoint.id;
    elsif v_result.error is null and v_result.took_ms is not null and v_endpoint.slow_until = 'infinity' then
      update public.webhook_endpoints e set slow_until = '-infinity' where e.id = v_endpoint.id;
    end if;

    if v_result.error is null then
      update public.webhook_endpoints e set failing_since = null where e.id = v_endpoint.id and e.failing_since is not null;
      -- After an outage the waiting deliveries need not wait any longer. One event that a healthy receiver rejects is not an
      -- outage.
      update public.webhook_deliveries d set next_attempt_at = now()
        where d.endpoint_id = v_endpoint.id and d.state = 'pending' and d.next_attempt_at > now()
          and v_endpoint.failing_since <= now() - interval '5 minutes';
    elsif v_result.status = 410 and v_result.url = v_endpoint.url then
      update public.webhook_endpoints e set enabled = false, disabled_reason = 'gone', updated_at = now()
        where e.id = v_endpoint.id and e.enabled;
    else
      update public.webhook_endpoints e set failing_since = now() where e.id = v_endpoint.id and e.failing_since is null;
    end if;
  end loop;
  return jsonb_build_object('outcome', 'settled');
end
$function$;
comment on function settle_webhook_deliveries(uuid,jsonb) is 'Settles up to 100 deliveries that p_owner has leased: [{endpoint_id, event_id, status?, error?, retry_after?, url?}]. Without error it is delivered; released means that nothing was sent. A 410 from the endpoint''s url disables the endpoint. Deliveries that p_owner no longer holds are skipped, so a call may be repeated.';
grant execute on function settle_webhook_deliveries(uuid,jsonb) to service_role;

CREATE OR REPLACE FUNCTION public.unretire_key(p_kid text)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
comment on function unretire_key(text) is 'Takes back that a key was retired: it may be a primary key again. Returns unretired or not_retired.';
grant execute on function unretire_key(text) to service_role;
