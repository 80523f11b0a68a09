-- How the database bears a rotation. Backends that have waited for a lock for a while, and the seconds by which the slowest replica is
-- behind: null where there is none, or where the functions' owner may not read pg_stat_replication.
create function public.rewrap_vitals() returns jsonb
language sql volatile security definer set search_path = pg_catalog, pg_temp as $$
  select jsonb_build_object(
    'lock_waits', (
      select count(distinct l.pid) from pg_catalog.pg_locks l
      where not l.granted and l.waitstart < clock_timestamp() - interval '100 milliseconds'
    ),
    'replication_lag_seconds', (select extract(epoch from max(r.replay_lag)) from pg_catalog.pg_stat_replication r)
  );
$$;

revoke all on function public.rewrap_vitals() from public, anon, authenticated;
grant execute on function public.rewrap_vitals() to service_role;
