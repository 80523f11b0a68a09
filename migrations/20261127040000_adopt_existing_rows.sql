-- Rows that an earlier application wrote. In a migration of its own, which locks rows only, and before the account is indexed, which makes it
-- several times faster. updated_at stays, because nothing that these rows say changes.

select set_config('integrations.rewrap', 'on', true);

select private.adopt_external_accounts();

update public.integrations i
  set token_expires_at = private.expiry_of(i.config)
  where i.config->'expires_at' is not null and i.token_expires_at is null;

select set_config('integrations.rewrap', 'off', true);

-- Unique from here on; rows without an account do not collide.
create unique index integrations_external_account
  on public.integrations (organization_id, integration_type, external_account_id);
