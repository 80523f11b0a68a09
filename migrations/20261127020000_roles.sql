-- What the roles of an organization's members may do: a member sees, an admin connects, disconnects and changes, an owner also manages
-- service keys. Before, every member could do what an admin may do now.

-- Without if not exists, so that running this file again is rejected: it would make admins of those who were made members since.
create function private.role_of(p_user_id uuid, p_organization_id uuid) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select case
    when p_organization_id = p_user_id then 'owner'
    else (
      select m.role from public.organization_members m where m.organization_id = p_organization_id and m.user_id = p_user_id
    )
  end;
$$;

comment on function private.role_of(uuid, uuid) is
  'A user''s role in an organization: owner of the personal one, otherwise that of the membership. Null: the user is no member.';

update public.organization_members m set role = 'admin' where m.role = 'member';

-- A writer that names no role adds somebody who may do the same as before.
alter table public.organization_members alter column role set default 'admin';

comment on column public.organization_members.role is
  'member: sees everything of the organization. admin: also connects, disconnects and changes. owner: also manages service keys.';

create function private.may_change(p_user_id uuid, p_organization_id uuid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  v_role text := private.role_of(p_user_id, p_organization_id);
begin
  if v_role = 'member' then
    raise exception 'the user may only see what the organization has' using
      errcode = 'IK002', hint = 'an owner can change the role in organization_members';
  end if;
  return v_role is not null;
end
$$;

comment on function private.may_change(uuid, uuid) is
  'Whether a user may change what an organization has, as its admin or owner. False: the user is no member. The role member raises '
  'IK002, so that no function can take it for another outcome; the worker answers 403 not_an_admin.';

create function private.lock_admin(p_user_id uuid, p_organization_id uuid) returns boolean
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
begin
  if not private.lock_membership(p_user_id, p_organization_id) then
    return false;
  end if;
  -- A statement of its own, so that it sees the role that was committed while the lock was awaited.
  return private.may_change(p_user_id, p_organization_id);
end
$$;

comment on function private.lock_admin(uuid, uuid) is
  'Like may_change, for a function that is about to write: neither the membership nor its role can change before the caller''s '
  'transaction ends.';

create function private.is_owner(p_user_id uuid, p_organization_id uuid) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select coalesce(private.role_of(p_user_id, p_organization_id) = 'owner', false);
$$;

comment on function private.is_owner(uuid, uuid) is
  'Whether a user owns an organization: the personal one, or one that has the user as its owner.';

revoke all on function
  private.role_of(uuid, uuid),
  private.may_change(uuid, uuid),
  private.lock_admin(uuid, uuid),
  private.is_owner(uuid, uuid)
from public, anon, authenticated, service_role;
