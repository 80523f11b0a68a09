-- Before a provider is asked about credentials that somebody gives: is it for an organisation of theirs, and have they tried too many?
-- Without a bound the worker would try keys for whoever has an account, found or bought ones as well, from its own address.

create table private.credential_attempts (
  user_id uuid primary key,
  first_at timestamptz not null,
  attempts integer not null
);
-- Whoever tries sweeps what has ended, the oldest first.
create index credential_attempts_first_at on private.credential_attempts (first_at);

alter table private.credential_attempts enable row level security;
revoke all on table private.credential_attempts from public, anon, authenticated, service_role;

-- admitted: the provider may be asked, once. too_many: a user may try sixty times in ten minutes, and again in so many seconds.
create function public.admit_credentials(p_user_id uuid, p_organization_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  c_attempts constant integer := 60;
  c_window constant interval := '10 minutes';
  v_row private.credential_attempts;
begin
  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  -- A user's attempts queue at the row, so that none is counted twice or not at all.
  insert into private.credential_attempts as a (user_id, first_at, attempts) values (p_user_id, now(), 1)
    on conflict (user_id) do update set
      first_at = case when a.first_at <= now() - c_window then now() else a.first_at end,
      attempts = case when a.first_at <= now() - c_window then 1 else least(a.attempts, c_attempts) + 1 end
    returning * into v_row;

  -- With one's own row in hand nobody else's is waited for, so there is no circle of waiting.
  delete from private.credential_attempts a
    where a.user_id in (
      select e.user_id from private.credential_attempts e
      where e.first_at <= now() - c_window
      order by e.first_at limit 200 for update skip locked
    );

  if v_row.attempts > c_attempts then
    return jsonb_build_object(
      'outcome', 'too_many', 'seconds', greatest(1, ceil(extract(epoch from v_row.first_at + c_window - now())))::integer
    );
  end if;
  return jsonb_build_object('outcome', 'admitted');
end
$$;

revoke all on function public.admit_credentials(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admit_credentials(uuid, uuid) to service_role;

notify pgrst, 'reload schema';
