// Long conversations: earlier messages come while one scrolls, and the place that is read stays.

import assert from 'node:assert/strict';
import { chatTest, connected, eventually, offline, sessionId, shown } from './browser.mjs';
import { EVERYTHING } from './server.mjs';

const DAY_MS = 86_400_000;

async function fill(server, page, count) {
  const messages = Array.from({ length: count }, (_, i) => ({ role: i % 2 ? 'user' : 'assistant', content: `line ${i}` }));
  await server.request(await sessionId(page), '', 'PUT', { messages });
  await eventually(async () => assert.equal((await shown(page)).at(-1)[1], `line ${count - 1}`));
}

const scroll = (page, to) => page.locator('#scroller').evaluate((element, top) => (element.scrollTop = top), to);

/** The first message in view, and how far from the top it is. */
const reading = page => page.locator('#scroller').evaluate(scroller => {
  const top = scroller.getBoundingClientRect().top;
  const at = [...document.querySelectorAll('#messages > li')].find(one => one.getBoundingClientRect().bottom > top);
  return [at.querySelector('.bubble').textContent, Math.round(at.getBoundingClientRect().top - top)];
});

chatTest('whoever scrolls up gets the earlier messages, and stays where they were', async ({ server, open }) => {
  const page = await open();
  await fill(server, page, 450);
  for (const expected of [200, 300, 400, 450]) {
    await scroll(page, 500);
    await eventually(async () => assert.ok((await shown(page)).length >= expected, String((await shown(page)).length)));
  }
  assert.equal((await shown(page))[0][1], 'line 0');
  await page.getByRole('button', { name: 'Show earlier messages' }).waitFor({ state: 'hidden' });
}, {}, EVERYTHING);

chatTest('after a restart of the server the place that is read is the same', async ({ server, open }) => {
  const page = await open();
  await fill(server, page, 350);
  for (const expected of [200, 300]) {
    await scroll(page, 500);
    await eventually(async () => assert.ok((await shown(page)).length >= expected));
  }
  await page.locator('#messages > li', { hasText: 'line 120' }).evaluate(element => element.scrollIntoView());
  // Messages get their height when they come into view, and the ones below move.
  const [line, offset] = await eventually(async () => {
    const before = await reading(page);
    await new Promise(resolve => setTimeout(resolve, 200));
    assert.deepEqual(await reading(page), before);
    return before;
  });
  assert.match(line, /^line 1[0-9][0-9]$/);
  await server.kill();
  await offline(page);
  await server.start();
  await connected(page);
  await eventually(async () => {
    const [now, at] = await reading(page);
    assert.equal(now, line);
    assert.ok(Math.abs(at - offset) <= 2, `${at} instead of ${offset}`);
  });
  await page.getByRole('button', { name: 'Jump to latest ↓' }).click();
  await eventually(async () => assert.ok((await page.locator('#messages > li').last().boundingBox()).y < 800));
}, {}, EVERYTHING);

chatTest('each day begins with its name', async ({ server, open }) => {
  const page = await open();
  const now = Date.now();
  const messages = [now - 40 * DAY_MS, now - DAY_MS, now - DAY_MS + 1, now].map((timestamp, i) => ({ role: 'user', content: `line ${i}`, timestamp }));
  await server.request(await sessionId(page), '', 'PUT', { messages });
  await eventually(async () => assert.equal((await shown(page)).length, 4));
  const days = await page.locator('.day').evaluateAll(all => all.map(one => (one.hidden ? '' : one.textContent)));
  assert.match(days[0], /\d/);
  assert.deepEqual(days.slice(1), ['Yesterday', '', 'Today']);
}, {}, EVERYTHING);
