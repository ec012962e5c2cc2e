// What README and the package's own page tell people to type does what they say.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { launch, visit } from './browser.mjs'
import { dial, start } from './sigver.mjs'

let browser
before(async () => (browser = await launch()))
after(() => browser.close())

const blocks = (file) =>
  Array.from(readFileSync(new URL(`../${file}`, import.meta.url), 'utf8').matchAll(/```js\n(.*?)```/gs), ([, code]) => code)

// here is code for this server instead of the one in the text.
const here = (code, url) =>
  code
    .replaceAll(/wss:\/\/signal(ing)?\.example(\.org)?/g, url)
    .replaceAll('https://signal.example.org', url.replace('ws', 'http'))
    .replaceAll('ws://127.0.0.1:8000', url)
    .replace("'sigver-client'", "'/sigver.js'")
    .replace(/, (500|1000)\)/g, (_, time) => `, ${5 * time})`) // of a person at a quiet machine

for (const file of ['README.md', 'web/README.md']) {
  test(`${file}: both sides of an application`, async (t) => {
    const { url } = await start(t)
    const [opener, joining] = blocks(file).filter((code) => code.includes('import'))
    const said = []
    for (const code of [opener, joining]) {
      assert.ok(code.split('\n').length < 15)
      const page = await visit(t, browser, url, { bypassCSP: true, expected: [/left before it was connected/] })
      page.on('console', (message) => said.push(message.text()))
      // One line more, to know when the key is there.
      await page.addScriptTag({ type: 'module', content: here(code, url).replace('for await', 'window.ready = true\nfor await') })
      if (code === opener) await page.waitForFunction(() => window.ready)
    }
    const end = Date.now() + 20_000
    const hear = async (number) => {
      while (said.length < number && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await hear(1)
    assert.deepEqual(said, ['hello'])

    // Anybody may join and leave again, and the application goes on.
    const stranger = await dial(t, { url })
    await stranger.join('our key')
    stranger.send({ data: 'nothing' })
    stranger.drop()
    await hear(2)
    assert.match(said[1] ?? 'nothing', /^SigverError|^PEER_LEFT/)
  })
}

test('README: an exchange in the console', async (t) => {
  const { url } = await start(t)
  const [code] = blocks('README.md').filter((code) => code.includes('new WebSocket'))
  const page = await visit(t, browser, url)
  const said = []
  page.on('console', (message) => said.push(message.text()))
  await page.evaluate(here(code, url))
  while (said.length < 3) await page.waitForEvent('console')
  assert.deepEqual(said.slice(0, 2), ['opener gets {"isKeyOk":true}', 'joining gets {"isKeyOk":true}'])
  assert.match(said[2], /^opener gets {"id":\d+,"data":"this would be an offer"}$/)
})
