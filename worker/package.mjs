// Builds both workers for release and packs what deploying them takes, without a compiler: their modules and settings without secrets, the
// page, the migrations and the documents, laid out as in the repository, so that docs/deploy.md holds for it word for word.
//
//     node worker/package.mjs                     # target/dist/sealed-oauth-workers.tar.gz, and its SHA-256 beside it
//     node worker/package.mjs --built --out DIR   # packs what `cargo xtask build` has made before
//
// The same commit gives the same bytes wherever it is built: `cargo xtask reproduce`. Prints the archive's path.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { globSync, readFileSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { gzipSync } from 'node:zlib'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const NAME = 'sealed-oauth-workers'

/** Which files of the repository are in it. Nothing is looked for elsewhere, so what lies beside them, as `.dev.vars`, cannot get in. */
const FILES = [
  'worker/build/**/*.{js,mjs,wasm}', 'scanner/build/**/*.{js,mjs,wasm}', 'worker/public/**/*', 'migrations/2*.sql', 'supabase/config.toml',
  'docs/{deploy,operations,rotation,providers}.md', 'CHANGELOG.md', 'LICENSE-*', 'THIRD-PARTY-NOTICES.md',
]

/** What is in the archive: `[{ name, bytes }]`, in the order of their names. */
function entries() {
  const files = globSync(FILES, { cwd: ROOT, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => path.relative(ROOT, path.join(entry.parentPath, entry.name)))
  const read = (name) => ({ name, bytes: readFileSync(path.join(ROOT, name)) })
  const { devDependencies } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'))
  const manifest = { name: NAME, private: true, description: 'Deploy it with docs/deploy.md, from step 2 on', dependencies: { wrangler: devDependencies.wrangler } }
  return [
    ...files.map(read),
    // The Supabase CLI looks for the migrations there.
    ...files.filter((name) => name.startsWith('migrations/')).map((name) => ({ ...read(name), name: `supabase/${name}` })),
    ...['wrangler.toml', 'scanner/wrangler.toml'].map((name) => ({ name, bytes: Buffer.from(withoutBuild(readFileSync(path.join(ROOT, name), 'utf8'))) })),
    { name: 'package.json', bytes: Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`) },
  ].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The settings of a deployment without what they say of building. */
function withoutBuild(toml) {
  const kept = toml.replace(/^\[build\]\n(?:[^\n[].*\n)*\n/m, '')
  if (kept === toml) throw new Error('there is no section [build]')
  return kept
}

/** A tar (POSIX ustar) without times, owners and modes of this machine. */
function tar(files) {
  const blocks = files.flatMap(({ name, bytes }) => [header(`${NAME}/${name}`, bytes.length), bytes, Buffer.alloc(-bytes.length & 511)])
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}

function header(name, size) {
  if (Buffer.byteLength(name) > 100) throw new Error(`too long a name for this form of tar: ${name}`)
  const block = Buffer.alloc(512)
  const octal = (number, digits) => `${number.toString(8).padStart(digits, '0')}\0`
  const fields = [[0, name], [100, octal(0o644, 7)], [108, octal(0, 7)], [116, octal(0, 7)], [124, octal(size, 11)], [136, octal(0, 11)], [148, ' '.repeat(8)], [156, '0'], [257, 'ustar\x0000']]
  for (const [at, text] of fields) block.write(text, at, 'latin1')
  const sum = block.reduce((sum, byte) => sum + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
  return block
}

const { values } = parseArgs({ options: { built: { type: 'boolean', default: false }, out: { type: 'string', default: path.join(ROOT, 'target/dist') } } })
if (!values.built) execFileSync('cargo', ['xtask', 'build'], { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] })
const bytes = gzipSync(tar(entries()), { level: 9 })
const archive = path.join(path.resolve(values.out), `${NAME}.tar.gz`)
mkdirSync(path.dirname(archive), { recursive: true })
writeFileSync(archive, bytes)
writeFileSync(`${archive}.sha256`, `${createHash('sha256').update(bytes).digest('hex')}  ${path.basename(archive)}\n`)
console.log(archive)
