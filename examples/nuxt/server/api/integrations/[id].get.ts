import { type DataKey, decryptConfig, OpenError } from 'sealed-config/node'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Reads an integration's row, of any form, with the data keys of its organization, and says what it opened. A real route would call the provider with the token. */
export default defineEventHandler(async (event) => {
  const id = getRouterParam(event, 'id') ?? ''
  if (!UUID.test(id)) throw createError({ statusCode: 400, statusMessage: 'not an id' })
  const { supabaseUrl, supabaseServiceRoleKey: key } = useRuntimeConfig(event)
  const rows = await $fetch<{ id: string, organization_id: string, name: string, config: Record<string, unknown> }[]>('/rest/v1/integrations', {
    baseURL: supabaseUrl,
    query: { select: 'id,organization_id,name,config', id: `eq.${id}` },
    headers: { apikey: key },
  })
  const row = rows[0]
  if (!row) throw createError({ statusCode: 404, statusMessage: 'no such integration' })
  // Read for each request: once somebody deletes an organization's data key, its credentials are to open nowhere.
  const { data_keys } = await $fetch<{ data_keys: DataKey[] }>('/rest/v1/rpc/data_keys', {
    method: 'POST',
    baseURL: supabaseUrl,
    body: { p_organization_ids: [row.organization_id] },
    headers: { apikey: key },
  })
  try {
    const config = decryptConfig(row.config, row, data_keys)
    return { id: row.id, name: row.name, opened: Object.keys(config).sort(), tokenLength: String(config.access_token).length }
  } catch (failure) {
    if (!(failure instanceof OpenError)) throw failure
    // The class of fault is for the log. A caller reads one answer, whatever the reason.
    console.error(`integrations ${row.id}: ${failure.fault}`)
    throw createError({ statusCode: 500, statusMessage: 'the credentials cannot be opened' })
  }
})
