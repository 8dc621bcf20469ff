import assert from 'node:assert/strict';
import { chatTest, connected, eventually, offline, say, sessionId, settled, shown, stored, written } from './browser.mjs';

const LINES = ['first line', 'second line', 'third line'];

chatTest('what is typed while the server is down is stored when it returns', async ({ server, open }) => {
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
  // Nobody answers the refresh: what is left is what the browser keeps.
  await assert.rejects(before.reload());
  await before.close();
  await server.start();
  const page = await open();
  await settled(page);
  assert.deepEqual(await stored(server, await sessionId(page)), LINES);
  await eventually(async () => assert.deepEqual(await written(page), LINES));
  assert.equal(await page.locator('#text').inputValue(), 'half a thou');
});

chatTest('a message whose answer was lost is stored once', async ({ server, open, context }) => {
  // No event and no page tells that the message was stored: it has to be sent again.
  await context.route('**/events', route => route.fulfill({ status: 404 }));
  const page = await open();
  let lost = 0;
  await page.route('**/messages?*', route => (lost < 2 ? route.abort('connectionreset') : route.continue()));
  await page.route('**/messages', async route => {
    if (route.request().method() !== 'POST' || lost === 2) return route.continue();
    await route.fetch();
    lost += 1;
    return route.abort('connectionreset');
  });
  await say(page, 'only once');
  await eventually(() => assert.equal(lost, 2));
  await settled(page);
  assert.deepEqual(await stored(server, await sessionId(page)), ['only once']);
  await eventually(async () => assert.deepEqual(await written(page), ['only once']));
});

chatTest('a server that is busy is asked again', async ({ server, open }) => {
  const page = await open();
  const refusals = [429, 503];
  await page.route('**/messages', route => {
    const status = route.request().method() === 'POST' ? refusals.shift() : undefined;
    return status ? route.fulfill({ status, contentType: 'application/json', body: '{"error":"busy"}' }) : route.continue();
  });
  await say(page, 'patience');
  await settled(page);
  assert.equal(refusals.length, 0);
  assert.deepEqual(await stored(server, await sessionId(page)), ['patience']);
});

chatTest('a refused message stays to be seen, and can be sent again or discarded', async ({ server, open }) => {
  const page = await open();
  let refuse = true;
  await page.route('**/messages', route =>
    refuse && route.request().method() === 'POST' && route.request().postData().includes('odd')
      ? route.fulfill({ status: 413, contentType: 'application/json', body: '{"error":"the message is too large"}' })
      : route.continue());
  for (const line of ['odd one', 'fine', 'odd two']) await say(page, line);
  await settled(page);
  await eventually(async () => assert.equal(await page.locator('[data-state="refused"]').count(), 2));
  assert.deepEqual(await stored(server, await sessionId(page)), ['fine']);
  assert.match(await page.locator('[data-state="refused"]').first().textContent(), /Not sent: the message is too large/);

  await page.reload();
  await connected(page);
  await eventually(async () => assert.equal(await page.locator('[data-state="refused"]').count(), 2));
  refuse = false;
  await page.locator('[data-state="refused"]', { hasText: 'odd one' }).getByRole('button', { name: 'Try again' }).click();
  await page.locator('[data-state="refused"]', { hasText: 'odd two' }).getByRole('button', { name: 'Discard' }).click();
  await settled(page);
  await eventually(async () => assert.deepEqual(await written(page), ['fine', 'odd one']));
  assert.deepEqual(await stored(server, await sessionId(page)), ['fine', 'odd one']);
});

chatTest('waiting messages can be sent at once', async ({ server, open, context }) => {
  const page = await open();
  let down = true;
  await context.route('**/messages', route => (down && route.request().method() === 'POST' ? route.abort('connectionrefused') : route.continue()));
  await say(page, 'now please');
  await page.getByRole('button', { name: 'Try now' }).waitFor();
  down = false;
  await page.getByRole('button', { name: 'Try now' }).click();
  await settled(page);
  assert.deepEqual(await stored(server, await sessionId(page)), ['now please']);
});

chatTest('what happened elsewhere while the tab was cut off is shown afterwards', async ({ server, open }) => {
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

  // Before the tab has seen any event, after it has, and when what it shows is gone.
  await cutOff(() => elsewhere('one'));
  await eventually(async () => assert.equal((await shown(page)).at(-1)[1], 'one'));
  await elsewhere('two');
  await eventually(async () => assert.equal((await shown(page)).at(-1)[1], 'two'));
  await cutOff(() => elsewhere('three'));
  await eventually(async () => assert.deepEqual((await shown(page)).slice(1).map(([, text]) => text), ['one', 'two', 'three']));
  await cutOff(() => server.request(id, '/reset', 'POST'));
  await eventually(async () => assert.equal((await shown(page)).length, 1));
});
