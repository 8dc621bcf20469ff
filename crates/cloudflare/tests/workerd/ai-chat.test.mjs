// The routes of the AI SDK's `useChat` on the Worker of examples/ai-chat-worker, as bytes. The tests
// with the package `ai` itself are in examples/ai-chat/tests-node; they run against this Worker,
// too.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Process, Running } from './harness.mjs';

const user = (id, text) => ({ id, role: 'user', parts: [{ type: 'text', text }] });
const post = (body, type = 'application/json') => ({ method: 'POST', headers: { 'content-type': type }, body });
const submit = (id, messages) => post(JSON.stringify({ id, messages, trigger: 'submit-message' }));
const messages = async (worker, id) => (await worker.fetch(`/api/chat/session/${id}/messages`)).json();
const chunks = (text) => text.split('\n\n').filter((event) => event.startsWith('data: {')).map((event) => JSON.parse(event.slice(6)));

test('the object of a chat is found by the id in the body', async () => {
  const worker = new Running('aiChat', { variables: { TOKENS: '3', DELAY_MS: '1' } });
  for (const id of ['one', 'two']) {
    const response = await worker.fetch('/api/chat', submit(id, [user('m-1', id)]));
    assert.deepEqual(
      ['content-type', 'cache-control', 'x-vercel-ai-ui-message-stream', 'x-accel-buffering'].map((name) => response.headers.get(name)),
      ['text/event-stream', 'no-cache', 'v1', 'no'],
    );
    const text = await response.text();
    assert.ok(text.endsWith('data: [DONE]\n\n'), text);
    assert.deepEqual(chunks(text)[0], { type: 'start', messageId: 'reply-0-to-m-1' });
  }
  for (const id of ['one', 'two']) {
    const [asked, answered] = await messages(worker, id);
    assert.equal(asked.parts[0].text, id);
    assert.equal(answered.parts.find(({ type }) => type === 'text').text, 'w0 w1 w2 ');
  }
  // What clients have of old messages is not read. It may be more than one message may have.
  const history = [user('m-0', 'x'.repeat(6 << 20)), user('m-2', 'more')];
  const long = await worker.fetch('/api/chat', submit('one', history));
  assert.equal(long.status, 200);
  await long.text();
  assert.deepEqual((await messages(worker, 'one')).map(({ id }) => id), ['m-1', 'reply-0-to-m-1', 'm-2', 'reply-0-to-m-2']);
});

test('the Worker refuses as an object refuses', async () => {
  const worker = new Running('aiChat');
  const status = async (url, init) => {
    const response = await worker.fetch(url, init);
    const { error } = response.status < 300 ? {} : await response.json();
    assert.equal(typeof error, response.status < 300 ? 'undefined' : 'string');
    return response.status;
  };
  assert.equal(await status('/api/chat', post('{"messages":[]}')), 400);
  assert.equal(await status('/api/chat', post('{"id":7}')), 400);
  assert.equal(await status('/api/chat', post('no JSON')), 400);
  assert.equal(await status('/api/chat', post('{"id":"chat"}')), 400);
  assert.equal(await status('/api/chat', post('{"id":"chat"}', 'text/xml')), 415);
  assert.equal(await status('/api/chat'), 405);
  assert.equal(await status('/api/chat/chat/stream', { method: 'POST' }), 405);
  assert.equal(await status('/api/chat/a%2Fb/stream'), 400);
  assert.equal(await status('/api/chat/chat/other'), 404);
  assert.equal(await status('/api/chats'), 404);
  assert.equal(await status('/api/chat/chat/stream'), 204);
  const body = `{"id":"chat","messages":[${JSON.stringify(user('m-1', 'x'.repeat(33 << 20)))}]}`;
  assert.equal(await status('/api/chat', post(body)), 413);
  assert.deepEqual(await messages(worker, 'chat'), []);
});

test('a silent stream is kept alive by comments', async () => {
  const worker = new Running('aiChat', { variables: { TOKENS: '1', DELAY_MS: '17000' } });
  const response = await worker.fetch('/api/chat', { ...submit('slow', [user('m-1', 'hi')]), signal: AbortSignal.timeout(60_000) });
  const events = (await response.text()).split('\n\n').slice(0, -1);
  assert.ok(events.includes(': keep-alive'), events.join());
  for (const event of events) assert.match(event, /^(: keep-alive|data: (\{.*\}|\[DONE\]))$/);
});

test('a stream begins after its message is stored, also under kill -9', async () => {
  const workerd = new Process('aiChat', { variables: { TOKENS: '1000', DELAY_MS: '20' } });
  for (let round = 0; round < 10; round++) {
    await workerd.start();
    const id = `killed-${round}`;
    const response = await workerd.fetch('/api/chat', submit(id, [user('m-1', 'hi')]));
    assert.equal(response.status, 200);
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let shown = '';
    // At once, or after some chunks.
    while (chunks(shown).length < round * 2) shown += decoder.decode((await reader.read()).value, { stream: true });
    await workerd.kill();
    await reader.cancel().catch(() => {});
    await workerd.start();
    let stored = await messages(workerd, id);
    for (const deadline = Date.now() + 30_000; stored[1]?.metadata?.status !== 'incomplete'; stored = await messages(workerd, id))
      assert.ok(Date.now() < deadline, JSON.stringify(stored));
    assert.deepEqual(stored.map((message) => message.id), ['m-1', 'reply-0-to-m-1']);
    assert.deepEqual(stored[1].metadata.incomplete_details, { reason: 'interrupted' });
    const seen = chunks(shown).map(({ delta = '' }) => delta).join('');
    const text = stored[1].parts.find(({ type }) => type === 'text')?.text ?? '';
    assert.ok(text.startsWith(seen), `${text} after ${seen}`);
    await workerd.kill();
  }
});
