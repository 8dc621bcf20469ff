import assert from 'node:assert/strict';
import { chatTest, connected, eventually, say, sessionId, settled, stored, written } from './browser.mjs';

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
  let refused = 0;
  await context.route('**/messages', route => {
    if (!down || route.request().method() !== 'POST') return route.continue();
    refused += 1;
    return route.abort('connectionrefused');
  });
  await say(page, 'now please');
  await page.getByRole('button', { name: 'Try now' }).waitFor();
  // By then the page waits for seconds before it tries by itself.
  await eventually(() => assert.ok(refused > 3));
  down = false;
  await page.getByRole('button', { name: 'Try now' }).click();
  await settled(page);
  assert.deepEqual(await stored(server, await sessionId(page)), ['now please']);
});
