-- Adopts rows that an earlier application wrote. It is a migration of its own, which locks only rows, and runs before the account is indexed,
-- which makes it several times faster. updated_at stays, because the content of these rows does not change.

select set_config('integrations.rewrap', 'on', true);

select private.adopt_external_accounts();

update public.integrations i
  set token_expires_at = private.expiry_of(i.config)
  where i.config->'expires_at' is not null and i.token_expires_at is null;

select set_config('integrations.rewrap', 'off', true);

-- Unique from now on. Rows without an account do not conflict.
create unique index integrations_external_account
  on public.integrations (organization_id, integration_type, external_account_id);
