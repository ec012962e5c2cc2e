// A certificate for the loopback that nobody trusts.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterwards } from './sigver.mjs'

// certificate returns the flags with which the server uses it, until t ends.
export function certificate(t) {
  const folder = mkdtempSync(join(tmpdir(), 'sigver-'))
  afterwards(t, () => rmSync(folder, { recursive: true }))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=sigver', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
  ], { stdio: 'pipe', timeout: 60_000 })
  return ['--key', key, '--cert', cert]
}
