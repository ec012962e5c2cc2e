// A real browser, and pages in it that fail the test when something is wrong on them.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { afterwards, deadline } from './sigver.mjs'

const flags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // The pages are on one machine that may have no network but the loopback.
  '--disable-features=WebRtcHideLocalIpsWithMdns',
  '--allow-loopback-in-peer-connection',
]

// launch starts a browser, which whoever calls it must close.
export function launch() {
  return chromium.launch({ executablePath: '/usr/bin/chromium', args: flags })
}

// visit opens url in a window of its own, that shares nothing with others, and
// checks when t ends that nothing was wrong there but what the test expects:
// an array of regular expressions of what a console may say.
export async function visit(t, browser, url, { expected = [], ...options } = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options })
  const wrong = []
  context.on('page', (page) => {
    page.setDefaultTimeout(20_000)
    // Playwright lets this one take for ever. The end of ICE takes longest.
    const evaluate = page.evaluate.bind(page)
    page.evaluate = (run, ...args) => deadline(evaluate(run, ...args), () => `what a page does: ${run}`, 60_000)
    page.on('pageerror', (error) => wrong.push(String(error)))
    page.on('console', (message) => {
      // Violations of the Content-Security-Policy are among the errors.
      const said = `${message.text()} ${message.location().url}`
      if (['error', 'warning'].includes(message.type()) && !expected.some((e) => e.test(said))) wrong.push(said)
    })
  })
  afterwards(t, async () => {
    await context.close()
    assert.deepEqual(wrong, [], 'errors in the page')
  })
  const page = await context.newPage()
  await page.goto(url.replace(/^ws/, 'http'))
  return page
}
