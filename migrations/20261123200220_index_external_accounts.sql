-- Unique from here on; rows without an account do not collide. No version that runs before this writes the column, so what stands is unique.
create unique index integrations_external_account
  on public.integrations (organization_id, integration_type, external_account_id);
