-- Users read the safe columns of their organisations' integrations, and write nothing: the worker writes, with the service key.

revoke all on table public.integrations from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.integrations to service_role;

-- By column, so that config, and any column added later, is readable by no user.
grant select (
  id, organization_id, integration_type, name, status, scan_schedule, last_checked_at, next_check_at, created_at, updated_at
) on table public.integrations to authenticated;

create policy "Members can read their organisation's integrations"
  on public.integrations
  for select to authenticated
  using (private.can_access_organization(organization_id));

drop policy if exists "Users can manage their own integrations" on public.integrations;
