// The routes of `useChat`, used by the package that pages use.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { lastAssistantMessageIsCompleteWithApprovalResponses } from 'ai';
import { Chat, chunksOf, counted, counts, read, textOf } from './client.mjs';
import { Service } from './service.mjs';

const WORDS = 12;
const whole = Array.from({ length: WORDS }, (_, n) => `w${n} `).join('');

let service;
before(async () => (service = await Service.start({ tokens: WORDS, delayMs: 5 })));
after(() => service.end());

const user = (id, text) => ({ id, role: 'user', parts: [{ type: 'text', text }] });
const post = (body, api = service.api) =>
  fetch(api, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });

/** Waits until a condition holds. */
async function until(holds) {
  for (const deadline = Date.now() + 30_000; !(await holds()); await new Promise(next => setTimeout(next, 10)))
    assert.ok(Date.now() < deadline, 'the condition never held');
}

/** The messages of the page and of the store say the same. */
async function same(chat, from = service) {
  const stored = await from.messages(chat.id);
  const plain = messages => messages.map(({ id, role, parts }) => ({ id, role, parts: parts.map(shown) }));
  const shown = ({ type, text, state: _, ...part }) => (type === 'text' ? { type, text } : JSON.parse(JSON.stringify({ type, text, ...part })));
  assert.deepEqual(plain(chat.messages), plain(stored));
  return stored;
}

test('every chunk fits the schema, and the reader makes the stored message of them', async () => {
  const response = await post({ id: 'plain', messages: [user('m-1', 'hi')], trigger: 'submit-message' });
  const [one, two] = response.body.tee();
  const chunks = [];
  for await (const chunk of chunksOf({ body: one })) chunks.push(chunk);
  assert.equal(chunks[0].messageId, 'reply-0-to-m-1');
  const { DefaultChatTransport } = await import('ai');
  const stream = new DefaultChatTransport({ api: '' }).processResponseStream(two);
  const message = await read(stream);
  assert.equal(textOf(message), whole);
  const stored = (await service.messages('plain'))[1];
  assert.deepEqual([message.id, textOf(stored)], [stored.id, whole]);
});

test('the chat sends, regenerates and edits', async () => {
  const chat = new Chat(service.api, 'turns');
  await chat.sendMessage({ text: 'hi' });
  assert.deepEqual([chat.status, chat.error], ['ready', undefined]);
  await same(chat);
  await chat.regenerate();
  assert.match(chat.messages[1].id, /^reply-1-to-/);
  await same(chat);
  await chat.sendMessage({ text: 'more' });
  await chat.sendMessage({ text: 'other', messageId: chat.messages[0].id });
  const stored = await same(chat);
  assert.deepEqual(stored.map(textOf), ['other', whole]);
});

test('a message that is sent again is stored once and finds its answer', async () => {
  const chat = new Chat(service.api, 'again');
  await chat.sendMessage({ text: 'hi' });
  const before = await same(chat);
  // As if the connection had broken before the first chunk.
  chat.messages = chat.messages.slice(0, 1);
  await chat.sendMessage();
  assert.deepEqual(await same(chat), before);
  assert.equal(before.length, 2);
});

test('a refresh in the middle goes on, nothing is doubled, and a stop is for everybody', async () => {
  // So slow that the stop comes first.
  const slow = await Service.start({ tokens: 5000, delayMs: 20 });
  try {
    const first = new Chat(slow.api, 'refresh');
    const sending = first.sendMessage({ text: 'hi' });
    await until(() => first.messages.length === 2 && textOf(first.messages[1]).includes('w2 '));
    const loaded = await slow.messages('refresh');
    const second = new Chat(slow.api, 'refresh', loaded);
    const third = new Chat(slow.api, 'refresh', loaded.slice(0, 1));
    const resuming = [second.resumeStream(), third.resumeStream()];
    for (const chat of [second, third])
      await until(() => chat.messages.length === 2 && textOf(chat.messages[1]).includes('w6 '));
    const response = await post({}, `${slow.api}/refresh/stop`);
    const { message } = await response.json();
    await Promise.all([sending, ...resuming]);
    const words = textOf(message).split(' ').slice(0, -1);
    assert.deepEqual(words, words.map((_, n) => `w${n}`), 'each word once, in order');
    for (const chat of [first, second, third]) {
      assert.equal(chat.status, 'ready');
      assert.deepEqual(chat.messages[1].metadata, { status: 'incomplete', incomplete_details: { reason: 'stopped' } });
      await same(chat, slow);
    }
  } finally {
    await slow.end();
  }
});

test('a tool call is approved after a refresh and a restart', async () => {
  const tools = await Service.start({ tokens: 3, tools: true });
  try {
    const asked = new Chat(tools.api, 'tools');
    await asked.sendMessage({ text: 'weather?' });
    const call = asked.messages[1].parts.at(-1);
    assert.equal(call.state, 'approval-requested');
    await tools.kill();
    await tools.start();
    const options = { sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses };
    const chat = new Chat(tools.api, 'tools', await tools.messages('tools'), options);
    await chat.addToolApprovalResponse({ id: call.approval.id, approved: true });
    await until(() => chat.status === 'ready' && chat.messages[1].parts.at(-1).type === 'text');
    await until(async () => (await tools.messages('tools'))[1].metadata === undefined);
    const stored = await same(chat, tools);
    assert.equal(stored[1].parts.find(part => part.toolCallId).state, 'output-available');
    assert.equal(stored.length, 2);
  } finally {
    await tools.end();
  }
});

test('after a crash in the middle the next message works', async () => {
  const crashed = await Service.start({ tokens: 200, delayMs: 10 });
  try {
    const chat = new Chat(crashed.api, 'crash');
    const sending = chat.sendMessage({ text: 'hi' });
    await until(() => chat.messages.length === 2 && textOf(chat.messages[1]).includes('w3 '));
    await crashed.kill();
    await sending;
    assert.equal(chat.status, 'error');
    const shown = textOf(chat.messages[1]);
    crashed.model = { tokens: WORDS, delayMs: 1 };
    await crashed.start();
    // The first load ends what the crash left open.
    await until(async () => (await crashed.messages('crash'))[1].metadata?.status === 'incomplete');
    const next = new Chat(crashed.api, 'crash', await crashed.messages('crash'));
    await next.resumeStream();
    const stored = (await crashed.messages('crash'))[1];
    assert.ok(textOf(stored).startsWith(shown), 'what was shown is stored');
    assert.deepEqual(stored.metadata.incomplete_details, { reason: 'interrupted' });
    await next.sendMessage({ text: 'next' });
    assert.equal(textOf(next.messages.at(-1)), whole);
    await same(next, crashed);
  } finally {
    await crashed.end();
  }
});

test('no chunk was refused', async t => {
  await counted();
  t.diagnostic(`ui chunks: ${counts.parsed} of the service, ${counts.refused} refused`);
  assert.ok(counts.parsed > 10 * WORDS);
  assert.equal(counts.refused, 0);
});
