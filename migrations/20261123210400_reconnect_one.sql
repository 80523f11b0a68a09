-- A connection may be begun for one integration that stands: it must come back with the same account.

alter table public.oauth_transactions add column integration_id uuid;

comment on column public.oauth_transactions.integration_id is
  'The integration that is reconnected. Null: whatever account comes is connected.';

-- As before, and with p_integration_id for that integration: unknown where there is none of the type in the organisation, no_account
-- where nothing can come back that fits, since it does not say which account it stands for, or another row has the account already.
-- The running version calls without the new argument, by name.
drop function public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text);

create function public.begin_connection(
  p_id uuid, p_state_hash text, p_binding_hash text, p_user_id uuid, p_organization_id uuid, p_integration_type text,
  p_issuer text, p_redirect_uri text, p_verifier jsonb, p_return_to text, p_integration_id uuid default null
) returns jsonb
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_row public.integrations;
begin
  -- A user's begins queue here: counted side by side, each would see room for one more.
  perform pg_advisory_xact_lock(hashtextextended('begin_connection ' || p_user_id, 0));

  if not private.lock_membership(p_user_id, p_organization_id) then
    return jsonb_build_object('outcome', 'not_a_member');
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
    integration_id
  ) values (
    p_id, p_state_hash, p_binding_hash, p_user_id, p_organization_id, p_integration_type, p_issuer, p_redirect_uri, p_verifier,
    p_return_to, p_integration_id
  );
  return jsonb_build_object('outcome', 'begun');
end
$$;

revoke all on function public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text, uuid)
  from public, anon, authenticated;
grant execute on function public.begin_connection(uuid, text, text, uuid, uuid, text, text, text, jsonb, text, uuid) to service_role;

-- As before, and says which integration is reconnected and with which account: null where the integration has gone meanwhile.
create or replace function public.consume_transaction(p_state_hash text, p_binding_hash text, p_user_id uuid) returns jsonb
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
    'return_to', v_transaction.return_to,
    'integration_id', v_transaction.integration_id,
    'account_id', (
      select private.account_of(i) from public.integrations i
      where i.id = v_transaction.integration_id and i.organization_id = v_transaction.organization_id
        and i.integration_type = v_transaction.integration_type
    )
  );
end
$$;

notify pgrst, 'reload schema';
