import assert from 'node:assert/strict';
import { chatTest, connected, eventually, findTutor, say, sessionId, settled, shown, stored, written } from './browser.mjs';
import { EVERYTHING } from './server.mjs';

const ATTACKS = ['<script>window.hit = 1</script>', '<img src=x onerror="window.hit = 1">', '"><svg onload=window.hit=1>', 'javascript:window.hit=1'];

chatTest('markup in a message is shown as text, and stays it after a refresh', async ({ open }) => {
  const page = await open();
  for (const attack of ATTACKS) await say(page, attack);
  await settled(page);
  await eventually(async () => assert.deepEqual(await written(page), ATTACKS));
  await page.reload();
  await connected(page);
  await eventually(async () => assert.deepEqual(await written(page), ATTACKS));
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.locator('#messages script, #messages img, #messages svg').count(), 0);
});

chatTest('markup in a tutor, a booking, a role or an error is shown as text', async ({ server, open }) => {
  const page = await open();
  const [, attack] = ATTACKS;
  const tutorMatch = { tutor: { id: attack, name: attack, skills: [attack], modes: [attack] }, slot: { day: attack, time: attack, mode: attack }, score: 1, reason: attack };
  const id = await sessionId(page);
  await server.request(id, '/messages', 'POST', { role: 'assistant', content: attack, tutorMatch });
  await server.request(id, '/messages', 'POST', { role: attack, content: 'an odd role' });
  await server.request(id, '', 'PUT', { pendingMatch: tutorMatch, bookingInfo: { studentName: attack, studentEmail: attack, ccsfEmail: attack, slot: tutorMatch.slot, step: 'complete' } });
  await page.getByText('an odd role').first().waitFor();
  await page.getByRole('heading', { name: 'Booked ✓' }).waitFor();
  await page.route('**/messages', route => route.fulfill({ status: 400, contentType: 'application/json', body: JSON.stringify({ error: attack }) }));
  await say(page, 'refused');
  await page.locator('.delivery').getByText(`Not sent: ${attack}`).waitFor();
  assert.ok((await page.locator('.card-name').textContent()).includes(attack));
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.locator('main img, main script, main svg').count(), 0);
}, {}, EVERYTHING);

chatTest('messages and matches of odd shapes do no harm', async ({ server, open }) => {
  const page = await open();
  const id = await sessionId(page);
  const odd = [
    { role: 'assistant', content: null, tool_calls: [] },
    { role: 'assistant', content: [{ type: 'text', text: 'part one, ' }, { type: 'image' }, { type: 'text', text: 'part two' }] },
    { role: 'assistant', content: { answer: 42 } },
    { role: 'system', content: 'from the system', tutorMatch: 'nobody', timestamp: 'noon' },
    { role: 'assistant', content: 'half a match', tutorMatch: { tutor: { name: 'Nobody' } }, timestamp: 1e300 },
    { role: 'assistant', content: '👩‍💻 ' + 'unbroken'.repeat(200), id: 7 },
  ];
  for (const message of odd) await server.request(id, '/messages', 'POST', message);
  await eventually(async () => assert.equal((await shown(page)).length, odd.length + 1));
  const texts = (await shown(page)).map(([, text]) => text);
  assert.deepEqual(texts.slice(1, 6), ['', 'part one, part two', '{"answer":42}', 'from the system', 'half a match']);
  assert.equal(await page.locator('.card').count(), 0);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth));
}, {}, EVERYTHING);

chatTest('half an emoji is made whole before it is sent', async ({ server, open }) => {
  const page = await open();
  await page.locator('#text').evaluate(field => {
    field.value = 'cut 👍'.slice(0, 5);
  });
  await page.locator('#text').press('Enter');
  await settled(page);
  assert.deepEqual(await stored(server, await sessionId(page)), ['cut \ufffd']);
});

chatTest('the session id is made here, with its time and at least 128 random bits', async ({ open, context }) => {
  const page = await open();
  const id = await sessionId(page);
  const [, ms, random] = id.match(/^session-(\d+)-([a-z2-7]+)$/);
  assert.ok(Math.abs(Number(ms) - (await page.evaluate(() => Date.now()))) < 600_000);
  assert.ok(random.length * 5 >= 128);
  await page.reload();
  assert.equal(await sessionId(page), id);
  await context.clearCookies();
  await page.evaluate(() => localStorage.clear());
  await page.reload();
  assert.notEqual(await sessionId(page), id);
});

chatTest('a copied link opens the conversation, and leaves the reader’s own alone', async ({ open, context }) => {
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await open();
  await findTutor(page);
  await page.getByRole('button', { name: 'Copy link' }).click();
  await page.getByText('Link copied').waitFor();
  const link = new URL(await page.evaluate(() => navigator.clipboard.readText()));
  const id = await sessionId(page);
  assert.equal(link.searchParams.get('session'), id);

  // Somebody else's browser.
  await page.evaluate(() => {
    localStorage.clear();
    localStorage.setItem('chatSessionId', 'session-1-other');
  });
  const reader = await open(link.search);
  await reader.locator('.card').waitFor();
  assert.equal(await sessionId(reader), 'session-1-other');
  await say(reader, 'from the link');
  await eventually(async () => assert.ok((await written(page)).includes('from the link')));
  await reader.reload();
  await reader.locator('.card').waitFor();
  await reader.getByRole('link', { name: 'Go to your own' }).click();
  await connected(reader);
  assert.equal((await shown(reader)).length, 1);
});

chatTest('a link that names no session is refused', async ({ open }) => {
  const page = await open('?session=..%2F..%2Fhealth');
  await page.getByText('That link does not name a conversation').waitFor();
  assert.match(await sessionId(page), /^session-/);
});
