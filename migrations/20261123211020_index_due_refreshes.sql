-- What is due, with all that a claim looks at before it takes a row. A rotation writes none of these columns, so its updates stay HOT.
create index integrations_due_for_refresh on public.integrations (token_expires_at) include (organization_id, integration_type, id)
  where token_expires_at is not null and status in ('active', 'degraded');
