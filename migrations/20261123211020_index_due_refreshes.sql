-- What is due. A rotation writes none of these columns, so its updates stay HOT.
create index integrations_due_for_refresh on public.integrations (token_expires_at)
  where token_expires_at is not null and status in ('active', 'degraded');
