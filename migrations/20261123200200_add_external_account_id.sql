-- Which account of the provider a row stands for, so that connecting the same account again updates its row.

alter table public.integrations
  add column external_account_id text check (char_length(external_account_id) between 1 and 200);

comment on column public.integrations.external_account_id is
  'The account''s id at the provider. Null in rows whose writer does not know this column.';

grant select (external_account_id) on table public.integrations to authenticated;
