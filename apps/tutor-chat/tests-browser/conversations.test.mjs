// The list of a person's conversations beside the one that is open.

import assert from 'node:assert/strict';
import { chatTest, connected, eventually, findTutor, offline, say, sessionId, settled, shown, stored, written } from './browser.mjs';
import { EVERYTHING } from './server.mjs';

const PHONE = { viewport: { width: 375, height: 720 }, hasTouch: true, isMobile: true };

const titles = page => page.locator('#sessions a').allTextContents();
const row = (page, title) => page.locator('#sessions li', { hasText: title });
const current = page => page.locator('#sessions a[aria-current="page"]').textContent();
const listed = (page, expected) => eventually(async () => assert.deepEqual(await titles(page), expected));

/** Begins a conversation with this message, which becomes its title. */
async function begin(page, text) {
  await page.locator('.sidebar .new-chat').click();
  await eventually(async () => assert.equal((await shown(page)).length, 1));
  await say(page, text);
  await settled(page);
  await eventually(async () => assert.equal(await current(page), text));
}

async function act(page, title, name) {
  await row(page, title).hover();
  await row(page, title).getByRole('button', { name: `${name} ${title}` }).click();
}

chatTest('a new conversation leaves the old one, and both are listed, newest first', async ({ server, open }) => {
  const page = await open();
  await begin(page, 'first things');
  const first = await sessionId(page);
  await begin(page, 'second things');
  await listed(page, ['second things', 'first things']);
  assert.equal(await page.title(), 'second things – Tutor chat');

  await row(page, 'first things').getByRole('link').click();
  await eventually(async () => assert.deepEqual(await written(page), ['first things']));
  await say(page, 'third things');
  await listed(page, ['first things', 'second things']);
  assert.deepEqual(await stored(server, first), ['first things', 'third things']);

  await page.reload();
  await connected(page);
  assert.deepEqual(await written(page), ['first things', 'third things']);
  await page.goBack();
  await eventually(async () => assert.deepEqual(await written(page), ['second things']));
  await listed(page, ['first things', 'second things']);
});

chatTest('a conversation that has no message yet is not left for another new one', async ({ open }) => {
  const page = await open();
  const id = await sessionId(page);
  await page.locator('.sidebar .new-chat').click();
  assert.equal(await sessionId(page), id);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'text');
});

chatTest('two tabs show two conversations, and each keeps its own over a refresh', async ({ open }) => {
  const one = await open();
  await begin(one, 'in the first tab');
  const two = await open();
  await begin(two, 'in the second tab');
  for (const [page, text] of [[one, 'in the first tab'], [two, 'in the second tab']]) {
    await page.reload();
    await connected(page);
    await eventually(async () => assert.deepEqual(await written(page), [text]));
    await listed(page, ['in the second tab', 'in the first tab']);
  }
});

chatTest('a title is changed, found, and kept', async ({ open }) => {
  const page = await open();
  const other = await open();
  await begin(page, 'about lifetimes');
  await begin(page, 'about essays');
  await act(page, 'about lifetimes', 'Rename');
  await page.getByRole('textbox', { name: 'Title' }).fill('Rust');
  await page.keyboard.press('Enter');
  await listed(page, ['about essays', 'Rust']);
  await listed(other, ['about essays', 'Rust']);
  await act(page, 'Rust', 'Rename');
  await page.getByRole('textbox', { name: 'Title' }).fill('never mind');
  await page.keyboard.press('Escape');
  await listed(page, ['about essays', 'Rust']);

  await page.getByRole('searchbox').fill('rus');
  await listed(page, ['Rust']);
  await page.getByRole('searchbox').fill('nothing like it');
  await page.getByText('No title has this text.').waitFor();
  await page.reload();
  await connected(page);
  await listed(page, ['about essays', 'Rust']);
});

chatTest('a search finds titles far down the list', async ({ server, open }) => {
  const page = await open();
  await begin(page, 'the needle');
  const owner = await page.evaluate(() => localStorage.getItem('chatOwner'));
  for (let i = 0; i < 70; i += 1) {
    const url = `${server.base}/api/chat/session/hay-${i}`;
    const send = (method, route, body) =>
      fetch(url + route, { method, headers: { 'content-type': 'application/json', 'chat-owner': owner }, body: JSON.stringify(body) });
    await send('POST', '/messages', { role: 'assistant', content: 'hay' });
    await send('PUT', '/labels', { title: `hay ${i}` });
  }
  await page.reload();
  await connected(page);
  await eventually(async () => assert.equal((await titles(page)).length, 30));
  await page.getByRole('button', { name: 'Show older ones' }).click();
  await eventually(async () => assert.equal((await titles(page)).length, 60));
  await page.reload();
  await connected(page);
  await page.getByRole('searchbox').fill('needle');
  await listed(page, ['the needle']);
}, {}, EVERYTHING);

chatTest('a deleted conversation comes back if it is wanted, and is gone otherwise', async ({ server, open }) => {
  const page = await open();
  await begin(page, 'kept after all');
  const kept = await sessionId(page);
  await begin(page, 'to be deleted');
  await page.locator('#text').fill('half a thought');
  const gone = await sessionId(page);
  await act(page, 'kept after all', 'Delete');
  await listed(page, ['to be deleted']);
  await page.getByRole('button', { name: 'Undo' }).click();
  await eventually(async () => assert.deepEqual(await written(page), ['kept after all']));
  assert.deepEqual(await stored(server, kept), ['kept after all']);

  await act(page, 'to be deleted', 'Delete');
  await listed(page, ['kept after all']);
  await eventually(async () => assert.deepEqual(await stored(server, gone), []));
  const left = () => page.evaluate(id => Object.entries(localStorage).filter(entry => entry.join().includes(id)), gone);
  await eventually(async () => assert.deepEqual(await left(), []));
  await page.reload();
  await connected(page);
  await listed(page, ['kept after all']);
});

chatTest('a conversation is deleted although the page closes at once', async ({ server, open }) => {
  const page = await open();
  await begin(page, 'to be deleted');
  const gone = await sessionId(page);
  await act(page, 'to be deleted', 'Delete');
  await eventually(async () => assert.deepEqual(await written(page), []));
  await page.close({ runBeforeUnload: true });
  await eventually(async () => assert.deepEqual(await stored(server, gone), []));
});

chatTest('a conversation goes on from an answer in a copy of its own', async ({ server, open }) => {
  const page = await open();
  await begin(page, 'I want help with python tutor');
  const source = await sessionId(page);
  await say(page, 'rather java');
  await eventually(async () => assert.equal((await shown(page)).length, 5));
  const answer = page.locator('.message.assistant').nth(1);
  await answer.hover();
  await answer.getByRole('button', { name: 'Continue from here' }).click();
  await eventually(async () => assert.equal((await shown(page)).length, 3));
  assert.notEqual(await sessionId(page), source);
  await say(page, 'or calculus');
  await eventually(async () => assert.deepEqual(await written(page), ['I want help with python tutor', 'or calculus']));
  assert.deepEqual(await stored(server, source), ['I want help with python tutor', 'rather java']);
  await eventually(async () => assert.equal((await titles(page)).length, 2));
});

chatTest('who follows a link neither lists nor renames the conversation', async ({ server, open }) => {
  const page = await open();
  await begin(page, 'shared with you');
  const id = await sessionId(page);
  // Somebody else's browser, which has a conversation of its own.
  await page.evaluate(() => {
    localStorage.clear();
    localStorage.setItem('chatSessionId', 'session-1-other');
  });
  const reader = await open(`?session=${id}`);
  await say(reader, 'thank you');
  await settled(reader);
  await reader.getByText('You opened a shared conversation.').waitFor();
  assert.deepEqual(await titles(reader), []);
  assert.deepEqual(await stored(server, id), ['shared with you', 'thank you']);
  const owner = await reader.evaluate(() => localStorage.getItem('chatOwner'));
  const renamed = await fetch(`${server.base}/api/chat/session/${id}/labels`, {
    method: 'PUT', headers: { 'chat-owner': owner, 'content-type': 'application/json' }, body: '{"title":"mine"}',
  });
  assert.equal(renamed.status, 403);
});

chatTest('a message that waits in another conversation is sent, too', async ({ server, open }) => {
  const page = await open();
  await begin(page, 'before');
  const id = await sessionId(page);
  await server.kill();
  await offline(page);
  await say(page, 'while the server was down');
  await page.locator('.sidebar .new-chat').click();
  await page.close();
  await server.start();
  const again = await open();
  assert.notEqual(await sessionId(again), id);
  await eventually(async () => assert.deepEqual(await stored(server, id), ['before', 'while the server was down']));
});

chatTest('a server that lists no conversations has a page without the list', async ({ context, open }) => {
  await context.route('**/api/chat/sessions**', route => route.fulfill({ status: 404, contentType: 'application/json', body: '{"error":"not found"}' }));
  const page = await open();
  await findTutor(page);
  assert.ok(await page.locator('#sidebar').isHidden());
  assert.ok(await page.locator('#menu').isHidden());
  assert.equal(await page.getByRole('button', { name: 'Continue from here' }).count(), 0);
});

chatTest('on a phone the list is a drawer', async ({ open }) => {
  const page = await open();
  await findTutor(page);
  assert.ok(await page.locator('#sidebar').isHidden());
  const menu = page.getByRole('button', { name: 'Conversations' });
  await menu.click();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'search');
  // What it covers is out of reach.
  assert.ok(await page.locator('#chat').evaluate(element => element.inert));
  await page.keyboard.press('Escape');
  assert.ok(await page.locator('#sidebar').isHidden());
  assert.equal(await page.evaluate(() => document.activeElement.id), 'menu');
  await page.getByRole('button', { name: 'New conversation' }).click();
  await eventually(async () => assert.equal((await shown(page)).length, 1));
  await menu.click();
  await page.locator('#sessions a').click();
  await eventually(async () => assert.equal((await shown(page)).length, 3));
  assert.ok(await page.locator('#sidebar').isHidden());
}, PHONE);
