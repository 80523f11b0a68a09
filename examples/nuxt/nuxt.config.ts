// Node: sealed-config/node is synchronous, over node:crypto. On Cloudflare, use the entry `sealed-config`, over WebCrypto.
export default defineNuxtConfig({
  compatibilityDate: '2026-10-01',
  ssr: false,
  telemetry: false,
  nitro: { preset: 'node-server' },
  runtimeConfig: { supabaseUrl: '', supabaseServiceRoleKey: '' },
})
