-- Delivering what the outbox holds: claimed with a lease, and settled by whoever has it.
--
-- Lock order, everywhere: an endpoint's row first, then its deliveries.

-- How long a delivery waits after so many attempts: ten of them within three days.
create function private.webhook_pause(p_attempts integer) returns interval
language sql immutable security definer set search_path = pg_catalog, pg_temp as $$
  select (array[
    interval '30 seconds', interval '5 minutes', interval '30 minutes', interval '2 hours', interval '5 hours', interval '10 hours',
    interval '14 hours', interval '20 hours'
  ])[least(greatest(p_attempts, 1), 8)];
$$;

-- Gives up what has waited for three days, and forgets what is settled and two weeks old; a bounded number of each. Whether there may be
-- more.
create function private.sweep_webhooks() returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_expired integer;
  v_old integer;
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
  return greatest(v_expired, v_old) = 1000;
end
$$;

-- Claims up to p_limit deliveries, of the endpoints that are not in p_skip: of each integration only the earliest that is still to be
-- delivered to the endpoint, so that events of one integration are delivered in order.
--
-- Shares are fair. An organization with fewer deliveries in flight comes first, whatever the age of its backlog, and within it the
-- endpoint with fewer. An organization has at most 20 in flight, an endpoint 10. An endpoint that is slow, failing, or has not answered
-- yet comes last, and p_slow bounds how many of those one claim holds; a slow or failing one has a single delivery in flight, and a slow
-- one rests in between.
create function public.claim_webhook_deliveries(
  p_owner uuid, p_limit integer, p_slow integer default 100, p_skip uuid[] default '{}'
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_claims jsonb;
begin
  if p_owner is null or p_limit is null or p_limit not between 1 and 100 or p_slow is null or p_slow not between 0 and 100 or p_skip is null
  then
    raise exception 'p_limit is not between 1 and 100, p_slow not between 0 and 100, or an argument is null' using
      errcode = 'invalid_parameter_value';
  end if;

  -- The endpoints for which something waits, each found by one step into the index.
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
        -- Of equals whichever: the older backlog is no reason.
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
    -- Longer than the worker can take: its lanes work off a claim within a minute, with 10 s for each request.
    update public.webhook_deliveries d
      set owner = p_owner, leased_until = now() + interval '2 minutes'
      from taken t
      where d.endpoint_id = t.endpoint_id and d.event_id = t.event_id
      returning d.*
  )
  select jsonb_agg(
    jsonb_build_object(
      'endpoint_id', e.id,
      'organization_id', e.organization_id,
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
$$;

-- Ends up to 100 deliveries that p_owner has claimed: [{"endpoint_id", "event_id", "status"?, "error"?, "retry_after"?, "url"?,
-- "took_ms"?}]. Without an error it is delivered; released: nothing was sent. Of a 410 from the endpoint's url the endpoint is disabled. A
-- receiver that took two seconds or more is slow for a quarter of an hour, and rests as long as it took. What p_owner has no lease on any
-- more is passed by, so this may be repeated.
create function public.settle_webhook_deliveries(p_owner uuid, p_results jsonb) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '3s' as $$
declare
  v_result record;
  v_endpoint public.webhook_endpoints;
  v_delivery public.webhook_deliveries;
  v_next timestamptz;
begin
  if p_owner is null or jsonb_typeof(p_results) is distinct from 'array' or jsonb_array_length(p_results) > 100 then
    raise exception 'p_results is no list of at most 100' using errcode = 'invalid_parameter_value';
  end if;

  -- In the order of ids, as everybody who locks several.
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

    -- A little earlier than the pause's end, each by another bit: what failed together does not come back together.
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
      -- After an outage what waited for its next turn need not wait any longer. A single event that a receiver in good health does
      -- not like is no outage.
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
$$;

-- Sends an event once more, whatever became of it: it takes its place behind what waits already, and has three days again.
create function public.replay_webhook_delivery(p_endpoint_id uuid, p_event_id uuid, p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_endpoint public.webhook_endpoints;
begin
  v_endpoint := private.lock_endpoint(p_endpoint_id, p_user_id);
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
$$;

revoke all on function private.webhook_pause(integer) from public, anon, authenticated, service_role;
revoke all on function private.sweep_webhooks() from public, anon, authenticated, service_role;
revoke all on function public.claim_webhook_deliveries(uuid, integer, integer, uuid[]) from public, anon, authenticated;
revoke all on function public.settle_webhook_deliveries(uuid, jsonb) from public, anon, authenticated;
revoke all on function public.replay_webhook_delivery(uuid, uuid, uuid) from public, anon, authenticated;
grant execute on function public.claim_webhook_deliveries(uuid, integer, integer, uuid[]) to service_role;
grant execute on function public.settle_webhook_deliveries(uuid, jsonb) to service_role;
grant execute on function public.replay_webhook_delivery(uuid, uuid, uuid) to service_role;
