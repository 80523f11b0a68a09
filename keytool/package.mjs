// Builds keytool for release and packs it as a release has it: the program under both of its names, man pages, completions, the runbook and
// the licences, and the archive's SHA-256 beside it.
//
//     node keytool/package.mjs                                      # for this machine
//     node keytool/package.mjs --target x86_64-unknown-linux-musl   # rustup target add it first
//
// Prints the archive's path. Node, because xtask does not build on Windows.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const SHELLS = { bash: 'keytool.bash', zsh: '_keytool', fish: 'keytool.fish', elvish: 'keytool.elv', powershell: '_keytool.ps1' }

const { values } = parseArgs({ options: { target: { type: 'string' } } })
const run = (program, args, options) => execFileSync(program, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', ...options })
const target = values.target ?? /^host: (.*)$/m.exec(run('rustc', ['-vV']))[1]
const isWindows = target.includes('windows')
const suffix = isWindows ? '.exe' : ''

const cargo = ['build', '--locked', '--release', '--package', 'keytool', '--target', target, '--message-format', 'json-render-diagnostics']
const messages = run('cargo', cargo, { maxBuffer: 1 << 28 }).split('\n').filter(Boolean).map((line) => JSON.parse(line))
const { executable } = messages.findLast(({ executable, target }) => executable && target.name === 'keytool')

// The JDK has a keytool too; the second name is for those who have both.
const name = `keytool-${target}`
const dist = path.join(ROOT, 'target', 'dist')
const folder = path.join(dist, name)
rmSync(folder, { recursive: true, force: true })
mkdirSync(path.join(folder, 'completions'), { recursive: true })
for (const program of ['keytool', 'sealed-keytool']) copyFileSync(executable, path.join(folder, program + suffix))
for (const [shell, file] of Object.entries(SHELLS)) writeFileSync(path.join(folder, 'completions', file), run(executable, ['completions', shell]))
run(executable, ['man', path.join(folder, 'man')])
const licences = readdirSync(ROOT).filter((file) => /^(LICEN[CS]E|NOTICE|THIRD)/i.test(file))
for (const file of [...licences, 'docs/rotation.md', 'docs/format.md']) copyFileSync(path.join(ROOT, file), path.join(folder, path.basename(file)))

const archive = path.join(dist, name + (isWindows ? '.zip' : '.tar.gz'))
rmSync(archive, { force: true })
// On Windows tar is bsdtar, which chooses the format by the name.
run('tar', [isWindows ? '-acf' : '-czf', archive, '-C', dist, name])
const digest = createHash('sha256').update(readFileSync(archive)).digest('hex')
writeFileSync(`${archive}.sha256`, `${digest}  ${path.basename(archive)}\n`)
console.log(archive)
