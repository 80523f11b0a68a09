-- The rows that were there before, in a transaction of its own that locks rows only. updated_at stays: nothing that they say has changed.

select set_config('integrations.rewrap', 'on', true);
update public.integrations i
  set token_expires_at = private.expiry_of(i.config)
  where i.config->'expires_at' is not null and i.token_expires_at is null;
select set_config('integrations.rewrap', 'off', true);
