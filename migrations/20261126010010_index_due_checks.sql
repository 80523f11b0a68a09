-- What is due, by type: the claim passes by a type whose provider is paused without reading its rows. A rotation writes none of these
-- columns, so its updates stay HOT.
create index integrations_due_for_check on public.integrations (integration_type, next_check_at)
  where scan_schedule is not null and next_check_at is not null and status in ('active', 'degraded');
