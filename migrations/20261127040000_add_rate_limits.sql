-- How often somebody may try something: one table and one function for every limit that the database counts.

create table private.rate_limits (
  -- What is limited, and whose attempts these are: a user's id, or a keyed hash. Never an address or an e-mail address as such.
  kind text not null check (char_length(kind) between 1 and 64),
  subject text not null check (char_length(subject) between 1 and 200),
  attempts integer not null,
  ends_at timestamptz not null,
  blocked_until timestamptz not null default '-infinity',
  primary key (kind, subject)
);

comment on column private.rate_limits.ends_at is 'From then on the attempts count no longer.';

create index rate_limits_ends_at on private.rate_limits (ends_at);

alter table private.rate_limits enable row level security;
revoke all on table private.rate_limits from public, anon, authenticated, service_role;

-- How many seconds an attempt has to wait; 0: it may be made, and counts. p_free attempts in p_window are admitted. Without a pause the next
-- one waits for the window's end; with one it waits for p_pause, the next for twice that, and so on up to p_longest. An attempt that has
-- to wait does not count, so no wait grows by asking.
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

-- For each request of a user that may write. A user may make 120 in a minute, and 5,000 in a day.
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

-- Before a password is tried. p_account and p_address are keyed hashes of the e-mail address and of the client's address. Whether the account
-- exists makes no difference.
--
-- The tightest limit is that of one address on one account. The limit of an account over all addresses has short pauses only, so that
-- nobody can lock its owner out; the limit of an address counts all accounts.
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

-- Before a session is renewed with what a client presents: a stranger's guesses must not use up what Supabase Auth allows the worker.
create function public.admit_renewal(p_address text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
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
$$;

-- After a right password: the account's attempts are forgotten, those of the address are not.
create function public.forgive_sign_ins(p_account text, p_address text) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- In the order in which they are taken.
  delete from private.rate_limits r
    where r.kind = 'sign-ins of an address to an account' and r.subject = p_account || ' ' || p_address;
  delete from private.rate_limits r where r.kind = 'sign-ins to an account' and r.subject = p_account;
  return jsonb_build_object('outcome', 'forgiven');
end
$$;

revoke all on function private.admit(text, text, integer, interval, interval, interval) from public, anon, authenticated, service_role;
revoke all on function public.admit_write(uuid) from public, anon, authenticated;
revoke all on function public.admit_sign_in(text, text) from public, anon, authenticated;
revoke all on function public.admit_renewal(text) from public, anon, authenticated;
revoke all on function public.forgive_sign_ins(text, text) from public, anon, authenticated;
grant execute on function public.admit_write(uuid) to service_role;
grant execute on function public.admit_sign_in(text, text) to service_role;
grant execute on function public.admit_renewal(text) to service_role;
grant execute on function public.forgive_sign_ins(text, text) to service_role;

notify pgrst, 'reload schema';
