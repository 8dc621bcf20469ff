// Answers that are streamed word by word as durable replies: they survive a refresh, a second tab, a
// stop, and a server that is killed.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { chatTest, connected, eventually, offline, say, sessionId, shown } from './browser.mjs';
import { ROOT } from './server.mjs';

const QUESTION = 'I want help with python tutor';
/** Slow enough to do something in the middle of an answer, and quick enough to wait for its end. */
const SLOW = '--stream-ms 250';
/** So slow that no answer ends by itself. */
const ENDLESS = '--stream-ms 2500';

const SHOTS = path.join(ROOT, 'target/screenshots');
fs.mkdirSync(SHOTS, { recursive: true });
const shot = (page, name) => page.screenshot({ path: path.join(SHOTS, `reply-${name}.png`) });

/** The last answer as the page shows it. */
const answer = page => page.locator('#messages > li.assistant').last();
const textOf = async page => (await shown(page)).at(-1)?.[1] ?? '';
const state = page => answer(page).getAttribute('data-state');
const words = text => text.split(' ').filter(word => word !== '').length;

/** Waits until the last answer is being written and has at least so many words. */
const grownTo = (page, count) =>
  eventually(async () => {
    assert.equal(await state(page), 'open');
    const text = await textOf(page);
    assert.ok(words(text) >= count, text);
    return text;
  });

/** On a store that processes share, a producer that is gone is noticed after a minute. */
const ended = page =>
  eventually(async () => assert.equal(await state(page), 'stored'), process.env.TUTOR_CHAT_CMD ? 100_000 : undefined);

/** The last message as the server has it. */
const stored = async (server, page) => (await server.request(await sessionId(page), '/messages')).at(-1);

chatTest('an answer grows while it is written, and a refresh goes on with it', async ({ server, open }) => {
  const page = await open();
  await say(page, QUESTION);
  const before = await grownTo(page, 3);
  await shot(page, 'growing');
  await page.reload();
  await connected(page);
  const after = await grownTo(page, 1);
  assert.ok(after.startsWith(before), `${after} after ${before}`);
  await ended(page);
  const whole = await textOf(page);
  assert.ok(whole.startsWith(after), `${whole} after ${after}`);
  assert.equal(whole, (await stored(server, page)).content, 'nothing twice, nothing lost');
  assert.equal((await shown(page)).filter(([who]) => who === 'assistant').length, 2, 'the greeting and one answer');
  await page.locator('.card').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Stop' }).count(), 0);
}, {}, SLOW);

chatTest('a second tab sees an answer grow from its beginning', async ({ server, open }) => {
  const first = await open();
  await say(first, QUESTION);
  const before = await grownTo(first, 3);
  const second = await open();
  const there = await grownTo(second, 3);
  assert.ok(there.startsWith(before), `${there} after ${before}`);
  await grownTo(second, words(there) + 2);
  await Promise.all([ended(first), ended(second)]);
  const whole = (await stored(server, first)).content;
  assert.deepEqual([await textOf(first), await textOf(second)], [whole, whole]);
}, {}, SLOW);

chatTest('the tab with the stream closes in the middle, and the other one goes on', async ({ server, open }) => {
  const first = await open();
  const second = await open();
  await say(first, QUESTION);
  const before = await grownTo(second, 3);
  await first.close();
  const after = await grownTo(second, words(before) + 1);
  assert.ok(after.startsWith(before));
  await ended(second);
  assert.equal(await textOf(second), (await stored(server, second)).content);
}, {}, SLOW);

chatTest('a stopped answer keeps what was shown, marked, also after a refresh', async ({ server, open }) => {
  const page = await open();
  await say(page, QUESTION);
  const before = await grownTo(page, 2);
  await answer(page).getByRole('button', { name: 'Stop' }).click();
  await ended(page);
  const stopped = await textOf(page);
  assert.ok(stopped.startsWith(before), `${stopped} after ${before}`);
  assert.match(await answer(page).locator('.meta').textContent(), /Stopped/);
  await shot(page, 'stopped');
  await page.reload();
  await connected(page);
  await eventually(async () => assert.equal(await textOf(page), stopped));
  assert.match(await answer(page).locator('.meta').textContent(), /Stopped/);
  const message = await stored(server, page);
  assert.deepEqual([message.content, message.incomplete_details], [stopped, { reason: 'stopped' }]);
  // The next message works.
  await say(page, QUESTION);
  await grownTo(page, 1);
}, {}, ENDLESS);

chatTest('kill -9 in the middle: what was shown is there, marked, and the next message works', async ({ server, open }) => {
  const page = await open();
  await say(page, QUESTION);
  const before = await grownTo(page, 3);
  await server.kill();
  await offline(page);
  const shownThen = await textOf(page);
  assert.ok(shownThen.startsWith(before));
  await server.start();
  await connected(page);
  await ended(page);
  const kept = await textOf(page);
  assert.ok(kept.startsWith(shownThen), `${kept} after ${shownThen}`);
  assert.match(await answer(page).locator('.meta').textContent(), /Interrupted/);
  await shot(page, 'interrupted');
  await page.reload();
  await connected(page);
  await eventually(async () => assert.equal(await textOf(page), kept));
  const message = await stored(server, page);
  assert.deepEqual([message.content, message.incomplete_details], [kept, { reason: 'interrupted' }]);
  await say(page, QUESTION);
  await ended(page);
  await eventually(async () => assert.match(await textOf(page), /Python/));
  assert.equal((await shown(page)).length, 5);
}, {}, SLOW);

chatTest('two tabs stop at once while the answer ends, and both show one end', async ({ server, open }) => {
  const tabs = [await open(), await open()];
  for (let round = 0; round < 5; round += 1) {
    await say(tabs[0], QUESTION);
    const count = 3 + 2 * round;
    await Promise.all(tabs.map(async page => {
      // Later in each round, and in the last ones after the end.
      const button = answer(page).getByRole('button', { name: 'Stop' });
      await eventually(async () => assert.ok(words(await textOf(page)) >= count || await state(page) === 'stored'));
      await button.click({ timeout: 500 }).catch(() => {});
    }));
    await Promise.all(tabs.map(ended));
    const message = await stored(server, tabs[0]);
    await eventually(async () => assert.deepEqual(await Promise.all(tabs.map(textOf)), [message.content, message.content]));
    const marks = await Promise.all(tabs.map(page => answer(page).locator('.ended').count()));
    const mark = message.status === 'incomplete' ? 1 : 0;
    assert.deepEqual(marks, [mark, mark]);
  }
}, {}, '--stream-ms 20');
