// Nobody is kept out: axe finds nothing in any state of the page, and large text leaves room for the
// conversation.

import assert from 'node:assert/strict';
import path from 'node:path';
import { beginBooking, chatTest, connected, eventually, findTutor, offline, say, sessionId, settled } from './browser.mjs';
import { complete } from './booking.mjs';
import { EVERYTHING } from './server.mjs';

const AXE = path.join(import.meta.dirname, 'node_modules/axe-core/axe.min.js');
const PHONE = { viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true };

/** All rules of axe on the page as it is now. */
async function clean(page, state) {
  await settled(page);
  await page.evaluate(() => Promise.all(document.getAnimations().map(one => one.finished)));
  if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(await source());
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html.slice(0, 120)).join(' ')}`), [], state);
}

let text;
async function source() {
  const { readFile } = await import('node:fs/promises');
  text ??= await readFile(AXE, 'utf8');
  return text;
}

for (const [look, options] of Object.entries({ light: {}, dark: { colorScheme: 'dark' }, phone: PHONE })) {
  chatTest(`${look}: axe finds nothing in any state`, async ({ server, open }) => {
    const page = await open();
    await clean(page, 'the welcome');
    await findTutor(page);
    await server.request(await sessionId(page), '/messages', 'POST', {
      role: 'assistant',
      content: '# Title\n\n```js\n1\n```\n\n- [ ] one\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[a link](https://example.com)',
    });
    await page.getByRole('heading', { name: 'Title' }).waitFor();
    await clean(page, 'an answer');
    await page.locator('.card').getByRole('button', { name: /^Book / }).click();
    await page.getByLabel('Your name').waitFor();
    await page.getByRole('button', { name: 'Next' }).click();
    await page.getByText('Please give your name').waitFor();
    await clean(page, 'an error in the booking');
    await complete(server, page);
    await clean(page, 'the receipt');
    await page.getByRole('button', { name: 'Start over' }).click();
    await clean(page, 'a dialog');
    await page.keyboard.press('Escape');
    if (options.isMobile) {
      await page.getByRole('button', { name: 'Conversations' }).click();
      await clean(page, 'the drawer');
      await page.keyboard.press('Escape');
    }
    await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
    await clean(page, 'text of twice the size');
    await server.kill();
    await offline(page);
    await say(page, 'are you there?');
    await page.getByText('Not sent yet, kept here').waitFor();
    if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(await source());
    const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
    assert.deepEqual(violations.map(({ id }) => id), [], 'no connection');
  }, options, EVERYTHING);
}

chatTest('axe finds nothing while an answer is written', async ({ open }) => {
  const page = await open();
  await say(page, 'I want help with python tutor');
  await page.getByRole('button', { name: 'Stop' }).waitFor();
  await clean(page, 'streaming');
}, {}, '--stream-ms 2000');

chatTest('text of twice the size leaves room for the conversation on a phone', async ({ open }) => {
  const page = await open();
  await beginBooking(page);
  await page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
  const height = await page.locator('#scroller').evaluate(element => element.clientHeight);
  assert.ok(height >= 720 / 2, `${height} of 720 px`);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
}, PHONE);

chatTest('zoomed to four times the size, half of the window is the conversation', async ({ open }) => {
  const page = await open();
  await findTutor(page);
  const height = await page.locator('#scroller').evaluate(element => element.clientHeight);
  assert.ok(height >= 256 / 2, `${height} of 256 px`);
}, { viewport: { width: 320, height: 256 } });

chatTest('every control is large enough to be hit', async ({ open }) => {
  const page = await open();
  await beginBooking(page);
  await say(page, 'and one more');
  await settled(page);
  const small = await page.evaluate(() => [...document.querySelectorAll('button, a, input, textarea, summary')]
    .map(element => [element, element.getBoundingClientRect()])
    .filter(([element, { width, height }]) => width > 0 && (width < 24 || height < 24) && !element.closest('.visually-hidden, .bubble p'))
    .map(([element]) => element.outerHTML.slice(0, 100)));
  assert.deepEqual(small, []);
}, PHONE);

chatTest('with forced colours the state of the connection is seen', async ({ open }) => {
  const page = await open();
  const dot = () => page.locator('#status').evaluate(element => {
    const style = getComputedStyle(element, '::before');
    return [style.borderTopWidth, style.backgroundColor];
  });
  const [border, filled] = await dot();
  assert.equal(border, '1px');
  await page.context().setOffline(true);
  await offline(page);
  assert.notEqual((await dot())[1], filled);
}, { forcedColors: 'active' });

chatTest('a message that is refused is said', async ({ open }) => {
  const page = await open();
  await page.route('**/messages', (route, request) => (request.method() === 'POST'
    ? route.fulfill({ status: 413, contentType: 'application/json', body: '{"error":"too large"}' })
    : route.continue()));
  await say(page, 'hello');
  await eventually(async () => assert.match(await page.locator('#announcer').textContent(), /Not sent: too large/));
});

chatTest('an existing conversation shows no ways to begin while it loads', async ({ open }) => {
  const page = await open();
  await findTutor(page);
  await page.addInitScript(() => {
    window.seen = 0;
    new MutationObserver(() => {
      const starters = document.getElementById('starters');
      if (starters && !starters.hidden) window.seen += 1;
    }).observe(document, { subtree: true, childList: true, attributes: true });
  });
  await page.reload();
  await connected(page);
  await page.locator('.card').waitFor();
  assert.equal(await page.evaluate(() => window.seen), 0);
});
