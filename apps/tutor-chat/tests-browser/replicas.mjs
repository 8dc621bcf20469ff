// Two replicas that share a database, behind a proxy which gives them the requests by turns: only
// for a server that is started by deploy/tests/replicas.mjs.

import assert from 'node:assert/strict';
import { chatTest, eventually, say, sessionId, settled, shown, stored, written } from './browser.mjs';

/** A producer that is gone is noticed after a minute. */
const NOTICED_MS = 100_000;

chatTest('what one replica has answered, the other one shows', async ({ server, open }) => {
  const page = await open();
  const id = await sessionId(page);
  for (let n = 0; n < 10; n += 1) {
    await server.request(id, '/messages', 'POST', { role: 'user', content: `line ${n}`, id: `m-${n}` });
    // Two requests: one for each replica.
    for (const _ of [1, 2]) assert.equal((await stored(server, id)).length, n + 1);
  }
  await eventually(async () => assert.deepEqual(await written(page), Array.from({ length: 10 }, (_, n) => `line ${n}`)));
});

chatTest('a replica is killed in the middle of an answer, and the conversation goes on', async ({ server, open }) => {
  const [one, two] = [await open(), await open()];
  await say(one, 'I want help with python tutor');
  const answer = page => page.locator('.message.assistant').last();
  const text = page => answer(page).locator('.bubble').textContent();
  for (const page of [one, two]) await eventually(async () => assert.ok((await text(page)).split(' ').length > 3 && (await shown(page)).length === 3));
  server.signal('SIGUSR2');
  const before = await text(one);
  // The other replica finishes the answer if it is writing it; else everybody sees that it broke off.
  for (const page of [one, two]) {
    await eventually(async () => assert.equal(await answer(page).getAttribute('data-state'), 'stored'), NOTICED_MS);
    assert.ok((await text(page)).startsWith(before));
  }
  assert.equal(await text(one), await text(two));
  await say(two, 'Calculus, Wednesday evening, online');
  await settled(two);
  for (const page of [one, two]) {
    await eventually(async () => assert.match(await text(page), /Dalia Haddad/), NOTICED_MS);
    assert.equal((await shown(page)).length, 5);
  }
}, {}, '--stream-ms 250');
