import assert from 'node:assert/strict';
import { beginBooking, chatTest, eventually, findTutor, say, sessionId, settled, shown, stored, written } from './browser.mjs';
import { EVERYTHING } from './server.mjs';

chatTest('a typed message is seen, stored and answered with a tutor', async ({ server, open }) => {
  const page = await open();
  assert.equal((await shown(page))[0][0], 'assistant');
  const card = await findTutor(page);
  assert.match(await card.textContent(), /Amara Okafor.*Monday at 10:00, online.*python/s);
  await settled(page);
  const conversation = await shown(page);
  assert.deepEqual(conversation.map(([who]) => who), ['assistant', 'user', 'assistant']);
  assert.equal(conversation[1][1], 'I want help with python tutor');
  assert.match(conversation[2][1], /Amara Okafor/);
  assert.deepEqual(await stored(server, await sessionId(page)), ['I want help with python tutor']);
});

chatTest('a message shows at once, before the server has answered', async ({ open }) => {
  const page = await open();
  let release;
  const held = new Promise(resolve => (release = resolve));
  await page.route('**/messages', async route => {
    if (route.request().method() === 'POST') await held;
    await route.continue();
  });
  await say(page, 'hello there');
  await page.getByText('Sending…').waitFor();
  assert.deepEqual(await written(page), ['hello there']);
  assert.equal(await page.locator('#text').inputValue(), '');
  release();
  await settled(page);
  await eventually(async () => assert.equal((await shown(page)).length, 3));
});

chatTest('messages written in two tabs at once get one order', async ({ server, open }) => {
  const [one, two] = [await open(), await open()];
  for (let i = 0; i < 5; i += 1) await Promise.all([say(one, `one ${i}`), say(two, `two ${i}`)]);
  await Promise.all([settled(one), settled(two)]);
  const all = await stored(server, await sessionId(one));
  assert.equal(all.length, 10);
  for (const tab of ['one', 'two']) {
    assert.deepEqual(all.filter(text => text.startsWith(tab)), [0, 1, 2, 3, 4].map(i => `${tab} ${i}`));
  }
  for (const page of [one, two]) await eventually(async () => assert.deepEqual(await written(page), all));
});

chatTest('starting over asks first, and reaches the other tab', async ({ server, open }) => {
  const one = await open();
  const two = await open();
  await beginBooking(one);
  await one.getByRole('button', { name: 'Start over' }).click();
  await one.keyboard.press('Escape');
  assert.equal((await shown(one)).length, 3);
  await one.getByRole('button', { name: 'Start over' }).click();
  await one.getByRole('dialog').getByRole('button', { name: 'Start over' }).click();
  for (const page of [one, two]) {
    await eventually(async () => assert.equal((await shown(page)).length, 1));
    await page.locator('#booking').waitFor({ state: 'hidden' });
  }
  const state = await server.request(await sessionId(one));
  assert.equal(state.messages.length, 1);
  assert.equal(state.bookingInfo, null);
});

chatTest('a long conversation shows its end, and the rest on demand', async ({ server, open }) => {
  const page = await open();
  const id = await sessionId(page);
  const messages = Array.from({ length: 230 }, (_, i) => ({ role: i % 2 ? 'user' : 'assistant', content: `line ${i}` }));
  await server.request(id, '', 'PUT', { messages });
  await eventually(async () => assert.equal((await shown(page)).length, 100));
  assert.equal((await shown(page))[0][1], 'line 130');
  const earlier = page.getByRole('button', { name: 'Show earlier messages' });
  await earlier.click();
  await eventually(async () => assert.equal((await shown(page)).length, 200));
  await earlier.click();
  await eventually(async () => assert.equal((await shown(page)).length, 230));
  await earlier.waitFor({ state: 'hidden' });
  assert.deepEqual((await shown(page)).map(([, text]) => text), messages.map(message => message.content));
}, {}, EVERYTHING);

chatTest('without an event stream the page asks by itself', async ({ server, open, context }) => {
  await context.route('**/events', route => route.fulfill({ status: 404, contentType: 'application/json', body: '{"error":"not found"}' }));
  const page = await open();
  await findTutor(page);
  await server.request(await sessionId(page), '/messages', 'POST', { role: 'assistant', content: 'from elsewhere' });
  await page.getByText('from elsewhere').first().waitFor();
}, {}, EVERYTHING);
