-- What has had its time is deleted by the schedule, a bounded number in each call.

-- Deletes up to 5,000 events that are older than p_days days; whether there may be more. Nothing else can delete an event.
create function private.delete_old_events(p_days integer) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_deleted integer;
begin
  perform set_config('integrations.deletes_old_events', 'on', true);
  -- Ids rise with time, so the oldest come first and the look ends at the first 5,000.
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

-- Deletes what has expired: connections that were begun and not finished, attempts that count no longer, deliveries of two weeks ago, events
-- older than p_event_days. more: a bound was reached, so there may be more.
create function public.clean_up(p_event_days integer) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_more boolean;
  v_count integer;
begin
  if p_event_days is null or p_event_days not between 30 and 36500 then
    raise exception 'p_event_days is not between 30 and 36500' using errcode = 'invalid_parameter_value';
  end if;
  v_more := private.sweep_webhooks();

  delete from public.oauth_transactions t
    where t.id in (
      select e.id from public.oauth_transactions e
      where e.expires_at <= now() order by e.expires_at limit 1000 for update skip locked
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

  v_more := private.delete_old_events(p_event_days) or v_more;
  return jsonb_build_object('outcome', 'cleaned', 'more', v_more);
end
$$;

revoke all on function private.delete_old_events(integer) from public, anon, authenticated, service_role;
revoke all on function public.clean_up(integer) from public, anon, authenticated;
grant execute on function public.clean_up(integer) to service_role;

notify pgrst, 'reload schema';
