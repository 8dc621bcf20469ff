// A person finds everything again, over every store: these tests also run with the page on the
// Worker and on the server over the Worker.

import assert from 'node:assert/strict';
import { STEPS, enter, entered, next, reaches } from './booking.mjs';
import { beginBooking, chatTest, connected, eventually, findTutor, offline, say, sessionId, settled, shown, stored, written } from './browser.mjs';
import { EVERYTHING } from './server.mjs';

const LINES = ['first line', 'second line', 'third line'];

chatTest('after a refresh the conversation is there', async ({ open }) => {
  const page = await open();
  await findTutor(page);
  await say(page, 'Wednesday morning, please');
  await eventually(async () => assert.equal((await shown(page)).length, 5));
  const before = await shown(page);
  await page.reload();
  await connected(page);
  await eventually(async () => assert.deepEqual(await shown(page), before));
  assert.ok((await page.locator('.card').count()) >= 1);
});

chatTest('after kill -9 and a new start the conversation is there and goes on', async ({ server, open }) => {
  const page = await open();
  await findTutor(page);
  await settled(page);
  const before = await shown(page);
  await server.kill();
  await offline(page);
  await server.start();
  await connected(page);
  assert.deepEqual(await shown(page), before);
  await say(page, 'and java?');
  await eventually(async () => assert.equal((await shown(page)).length, 5));
  const after = await shown(page);
  await page.reload();
  await connected(page);
  await eventually(async () => assert.deepEqual(await shown(page), after));
  assert.deepEqual(after.slice(0, 3), before);
});

chatTest('two tabs of one session stay in step', async ({ open }) => {
  const one = await open();
  const two = await open();
  await findTutor(one);
  await two.locator('.card').waitFor();
  await eventually(async () => assert.deepEqual(await shown(two), await shown(one)));
  await say(two, 'rather java');
  await eventually(async () => assert.equal((await shown(one)).length, 5));
  await eventually(async () => assert.deepEqual(await shown(one), await shown(two)));

  await one.locator('.card').last().getByRole('button', { name: /^Book / }).click();
  await two.getByLabel('Your name').waitFor();
  await two.getByRole('button', { name: 'Cancel booking' }).click();
  await one.locator('#booking').waitFor({ state: 'hidden' });
});

chatTest('a booking survives kill -9, and an answer given meanwhile can be saved again', async ({ server, open }) => {
  const page = await open();
  await beginBooking(page);
  await enter(page, STEPS[0]);
  await next(page);
  await reaches(server, page, STEPS[0].has);
  await server.kill();
  await offline(page);
  await enter(page, STEPS[1]);
  await next(page);
  await page.getByText('Your answer is kept here').waitFor();
  await server.start();
  await connected(page);
  await entered(page, STEPS[1]);
  await next(page);
  await reaches(server, page, { ...STEPS[0].has, ...STEPS[1].has });
  await page.getByText('Step 3 of 7').waitFor();
});

chatTest('messages typed while the server is down are stored when it returns', async ({ server, open }) => {
  const page = await open();
  await say(page, 'before');
  await settled(page);
  await server.kill();
  await offline(page);
  for (const line of LINES) await say(page, line);
  assert.deepEqual(await written(page), ['before', ...LINES]);
  await page.getByText('Not sent yet, kept here').first().waitFor();
  await server.start();
  await settled(page);
  await connected(page);
  assert.deepEqual(await stored(server, await sessionId(page)), ['before', ...LINES]);
  await eventually(async () => assert.deepEqual(await written(page), ['before', ...LINES]));
});

chatTest('a refresh while the server is down loses nothing', async ({ server, open }) => {
  const before = await open();
  await server.kill();
  await offline(before);
  for (const line of LINES) await say(before, line);
  await before.locator('#text').fill('half a thou');
  // No server answers the refresh: only the browser's storage is left.
  await assert.rejects(before.reload());
  await before.close();
  await server.start();
  const page = await open();
  await settled(page);
  assert.deepEqual(await stored(server, await sessionId(page)), LINES);
  await eventually(async () => assert.deepEqual(await written(page), LINES));
  assert.equal(await page.locator('#text').inputValue(), 'half a thou');
});

chatTest('changes made elsewhere while the tab was cut off are shown afterwards', async ({ server, open }) => {
  const page = await open();
  const id = await sessionId(page);
  const cutOff = async change => {
    await server.kill();
    await offline(page);
    await server.start();
    await change();
    await connected(page);
  };
  const elsewhere = content => server.request(id, '/messages', 'POST', { role: 'assistant', content });

  // Before the tab has seen any event, after it has, and after a reset.
  await cutOff(() => elsewhere('one'));
  await eventually(async () => assert.equal((await shown(page)).at(-1)[1], 'one'));
  await elsewhere('two');
  await eventually(async () => assert.equal((await shown(page)).at(-1)[1], 'two'));
  await cutOff(() => elsewhere('three'));
  await eventually(async () => assert.deepEqual((await shown(page)).slice(1).map(([, text]) => text), ['one', 'two', 'three']));
  await cutOff(() => server.request(id, '/reset', 'POST'));
  await eventually(async () => assert.equal((await shown(page)).length, 1));
}, {}, EVERYTHING);
