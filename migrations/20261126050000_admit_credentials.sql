-- Before a provider is asked about credentials that somebody gives: is it for an organisation of theirs, and have they tried too many?
-- Without a bound the worker would try keys for whoever has an account, found or bought ones as well, from its own address.

-- admitted: the provider may be asked, once. too_many: a user may try sixty times in ten minutes, and again in so many seconds.
create function public.admit_credentials(p_user_id uuid, p_organization_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_seconds integer;
begin
  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;
  v_seconds := private.admit('credentials', p_user_id::text, 60, '10 minutes');
  if v_seconds > 0 then
    return jsonb_build_object('outcome', 'too_many', 'seconds', v_seconds);
  end if;
  return jsonb_build_object('outcome', 'admitted');
end
$$;

revoke all on function public.admit_credentials(uuid, uuid) from public, anon, authenticated;
grant execute on function public.admit_credentials(uuid, uuid) to service_role;

notify pgrst, 'reload schema';
