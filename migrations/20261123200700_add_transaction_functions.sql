-- Beginning a connection, and consuming what was begun, once.

create function public.begin_connection(
  p_id uuid, p_state_hash text, p_binding_hash text, p_user_id uuid, p_organization_id uuid, p_integration_type text,
  p_issuer text, p_redirect_uri text, p_verifier jsonb, p_return_to text
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  -- A user's begins queue here: counted side by side, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('begin_connection ' || p_user_id, 0));

  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  -- Whoever begins sweeps for everyone, a bounded number, past rows that another is sweeping.
  delete from public.oauth_transactions t
    where t.id in (
      select e.id from public.oauth_transactions e
      where e.expires_at <= now() order by e.expires_at limit 200 for update skip locked
    );

  if (select count(*) from public.oauth_transactions t where t.user_id = p_user_id and t.expires_at > now()) >= 50 then
    return jsonb_build_object('outcome', 'too_many');
  end if;

  insert into public.oauth_transactions (
    id, state_hash, binding_hash, user_id, organization_id, integration_type, issuer, redirect_uri, verifier, return_to
  ) values (
    p_id, p_state_hash, p_binding_hash, p_user_id, p_organization_id, p_integration_type, p_issuer, p_redirect_uri, p_verifier,
    p_return_to
  );
  return jsonb_build_object('outcome', 'begun');
end
$$;

create function public.consume_transaction(p_state_hash text, p_binding_hash text, p_user_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_transaction public.oauth_transactions;
begin
  -- Of any number of callbacks at once one gets the row; the others wait for its commit and find none.
  delete from public.oauth_transactions t
    where t.state_hash = p_state_hash and t.binding_hash = p_binding_hash and t.user_id = p_user_id and t.expires_at > now()
    returning * into v_transaction;

  if not found then
    if exists (
      select from public.oauth_transactions t where t.state_hash = p_state_hash and t.expires_at > now()
    ) then
      return jsonb_build_object('outcome', 'foreign');
    end if;
    return jsonb_build_object('outcome', 'unknown');
  end if;

  if not private.lock_membership(p_user_id, v_transaction.organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
  end if;

  return jsonb_build_object(
    'outcome', 'consumed',
    'id', v_transaction.id,
    'organization_id', v_transaction.organization_id,
    'integration_type', v_transaction.integration_type,
    'issuer', v_transaction.issuer,
    'redirect_uri', v_transaction.redirect_uri,
    'verifier', v_transaction.verifier,
    'return_to', v_transaction.return_to
  );
end
$$;

revoke all on function public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text)
  from public, anon, authenticated;
revoke all on function public.consume_transaction(text, text, uuid) from public, anon, authenticated;
grant execute on function public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text) to service_role;
grant execute on function public.consume_transaction(text, text, uuid) to service_role;
