-- Members read their organisation's trail, also of integrations that are gone: an event carries its organisation.

grant select (
  id, occurred_at, actor, user_id, organization_id, integration_id, integration_type, action, outcome, reason, request_id
) on table public.credential_events to authenticated;

create policy "Members can read their organisation's events"
  on public.credential_events
  for select to authenticated
  using (private.can_access_organization(organization_id));
