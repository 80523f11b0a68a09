// packages/sealed-config-py against the vectors and the crate, in a virtual environment under .dev/. Without Python, or without its
// package `cryptography`, it is skipped.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import { ROOT, answersOf, buildRust, checkAgreement, checkBounds, checkVectors } from './agreement.mjs'

const HOME = `${ROOT}.dev/python-format`
const PYTHON = `${HOME}/bin/python`
const PACKAGE = `${ROOT}packages/sealed-config-py`
const ENV = { ...process.env, PYTHONPATH: `${PACKAGE}/src`, PYTHONDONTWRITEBYTECODE: '1' }
const NEEDS = ['cryptography==50.0.2', 'mypy==2.4.1']

/** Makes the environment, and says why it cannot be had. */
function missing() {
  const run = (program, ...args) => spawnSync(program, args, { encoding: 'utf8', timeout: 90_000 }).status === 0
  const imports = () => existsSync(PYTHON) && run(PYTHON, '-c', 'import cryptography, mypy')
  if (imports()) return false
  if (!run('python3', '-c', 'import sys; sys.exit(sys.version_info < (3, 10))')) return 'there is no Python 3.10 or later'
  if (!run('python3', '-m', 'venv', HOME)) return 'this Python makes no virtual environments'
  run(PYTHON, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', ...NEEDS)
  return imports() ? false : `pip cannot install ${NEEDS.join(' ')}`
}

const skip = missing()

describe('Python', { skip }, () => {
  let rust
  before(() => {
    rust = buildRust()
  })
  const answers = (lines) => answersOf(PYTHON, [`${ROOT}tests/format/lines.py`], lines, ENV)
  const passes = (...args) => {
    const { status, stdout, stderr } = spawnSync(PYTHON, args, { cwd: PACKAGE, env: ENV, encoding: 'utf8' })
    assert.equal(status, 0, stdout + stderr)
  }

  test('Python agrees with the vectors', () => checkVectors(answers))
  test('Python draws the bounds where the crate does', () => checkBounds(rust, answers))
  test('Python agrees with the crate on 10,000 configs', () => checkAgreement(rust, answers))
  test("the Python package passes its own tests", () => passes('-m', 'unittest', 'discover', '--start-directory', 'tests'))
  test('the Python package has types that mypy accepts', () => passes('-m', 'mypy', '--strict', '--cache-dir', `${HOME}/mypy`, 'src'))
})
