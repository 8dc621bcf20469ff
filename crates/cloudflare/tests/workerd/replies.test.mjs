// Replies that an object writes: to their end with nobody watching, through an eviction, and at
// which cost.
import path from 'node:path';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { ROOT, Running } from './harness.mjs';

const { Listener } = await import(path.join(ROOT, 'protocol/listener.mjs'));

const base = (id) => `/api/chat/session/${id}`;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
/** A Worker that writes a token every `ms`. */
const answering = (ms) => new Running('tests', { variables: { TOKEN_MS: String(ms) } });
const tokens = (count) => Array.from({ length: count }, (_, n) => `${String(n).padStart(3, '0')} `);

/** Posts a message; the answer. */
async function say(worker, id, content, message = {}) {
  const body = JSON.stringify({ role: 'user', content, ...message });
  const response = await worker.fetch(`${base(id)}/messages`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

/** Asks until `check` passes; then its last failure stands. */
async function eventually(check) {
  for (const deadline = Date.now() + 30_000; ; await sleep(50)) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

const messages = async (worker, id) => (await worker.fetch(`${base(id)}/messages`)).json();
const stop = (worker, id, seq) => worker.fetch(`${base(id)}/replies/${seq}/stop`, { method: 'POST' });
/** Waits until the last message is that of a finished reply. */
const finished = (worker, id) =>
  eventually(async () => {
    const last = (await messages(worker, id)).at(-1);
    assert.deepEqual([last.role, last.status], ['assistant', undefined]);
    return last;
  });

const count = async (worker, id, table) =>
  (await worker.run(id, 'sql', { statement: `SELECT COUNT(*) FROM durable_session_${table}` }))[0][0];

/** Waits until the next alarm is that of the expiry; one that is near is brought forward. */
const calm = (worker, id) =>
  eventually(async () => {
    const alarm = await worker.run(id, 'alarm');
    const near = alarm !== null && alarm <= Date.now() + 60_000;
    if (near) await worker.run(id, 'alarm-now');
    assert.ok(alarm !== null && !near, `the alarm is at ${alarm}`);
  });

/** Begins a reply of many tokens, and evicts its object after some have been shown. */
async function evictedInTheMiddle(worker, id) {
  const { reply } = await say(worker, id, '1000 unended', { id: 'm-1' });
  const tab = await Listener.open(fetch, new URL(`${base(id)}/events`, await worker.miniflare.ready), new Headers());
  const shown = [];
  while (shown.length < 10) {
    const { data } = await tab.next('chunk');
    assert.equal(data.at, shown.length);
    shown.push(data.chunk);
  }
  const { instance } = await worker.run(id, 'instance');
  await worker.run(id, 'evict').catch(() => {});
  tab.close();
  await eventually(async () => assert.notEqual((await worker.run(id, 'instance')).instance, instance));
  return { reply, shown: shown.join('') };
}

/** The message of the reply that was interrupted, once it is. */
async function interrupted(worker, id, shown) {
  const message = await eventually(async () => {
    const last = (await messages(worker, id)).at(-1);
    assert.deepEqual(last.incomplete_details, { reason: 'interrupted' });
    return last;
  });
  assert.equal(message.content, tokens(1000).join('').slice(0, message.content.length));
  assert.ok(message.content.startsWith(shown), `${message.content} after ${shown}`);
  return message;
}

test('an alarm ends the reply of an evicted object, and what was shown is there', async () => {
  const worker = answering(20);
  const { reply, shown } = await evictedInTheMiddle(worker, 'evicted');
  assert.equal(await count(worker, 'evicted', 'replies'), 1, 'nobody has used the session since');
  const alarm = await worker.run('evicted', 'alarm');
  assert.ok(alarm !== null && alarm <= Date.now() + 60_000, `an alarm is set, and within a minute: ${alarm}`);
  await worker.run('evicted', 'alarm-now');
  await eventually(async () => assert.equal(await count(worker, 'evicted', 'replies'), 0));
  assert.equal(await count(worker, 'evicted', 'chunks'), 0);
  const message = await interrupted(worker, 'evicted', shown);

  const late = await stop(worker, 'evicted', reply);
  assert.equal(late.status, 409);
  assert.deepEqual((await late.json()).message, message);
  assert.equal((await say(worker, 'evicted', '1000 unended', { id: 'm-1' })).reply, reply, 'a retry finds it');
  assert.equal((await messages(worker, 'evicted')).length, 3);
  await say(worker, 'evicted', '3');
  assert.equal((await finished(worker, 'evicted')).content, '000 001 002 ');
  await calm(worker, 'evicted');
});

test('the first read after an eviction ends the reply, and the next message is answered', async () => {
  const worker = answering(20);
  const { shown } = await evictedInTheMiddle(worker, 'read');
  await interrupted(worker, 'read', shown);
  await say(worker, 'read', '3');
  assert.equal((await finished(worker, 'read')).content, '000 001 002 ');
});

test('a message that is posted again while its reply is written gets no second reply', async () => {
  const worker = answering(20);
  const first = await say(worker, 'retried', '1000 unended', { id: 'm-1' });
  await eventually(async () => assert.notEqual(await count(worker, 'retried', 'chunks'), 0));
  assert.deepEqual(await say(worker, 'retried', '1000 unended', { id: 'm-1' }), first);
  assert.equal((await messages(worker, 'retried')).length, 3);
  const stopped = await stop(worker, 'retried', first.reply);
  assert.equal(stopped.status, 200);
  const { message } = await stopped.json();
  assert.deepEqual(message.incomplete_details, { reason: 'stopped' });
  assert.deepEqual(await say(worker, 'retried', '1000 unended', { id: 'm-1' }), first);
  assert.deepEqual((await messages(worker, 'retried')).at(-1), message);
});

test('an alarm leaves a reply alone that is being written, and sets the next one', async () => {
  const worker = answering(20);
  const { reply } = await say(worker, 'alive', '1000 unended');
  const before = await worker.run('alive', 'alarm-now');
  const next = await eventually(async () => {
    const alarm = await worker.run('alive', 'alarm');
    assert.ok(alarm !== null && alarm > before, `the alarm is at ${alarm}`);
    return alarm;
  });
  assert.ok(next <= Date.now() + 60_000);
  const written = await count(worker, 'alive', 'chunks');
  await eventually(async () => assert.ok((await count(worker, 'alive', 'chunks')) > written));
  assert.equal((await (await stop(worker, 'alive', reply)).json()).message.incomplete_details.reason, 'stopped');
});

test('a session that is deleted while its reply is written leaves an empty object', async () => {
  const worker = answering(20);
  await say(worker, 'gone', '1000 unended');
  await eventually(async () => assert.notEqual(await count(worker, 'gone', 'chunks'), 0));
  assert.equal((await worker.fetch(base('gone'), { method: 'DELETE' })).status, 200);
  // The handler would have written some tokens meanwhile.
  await sleep(300);
  assert.deepEqual(await worker.run('gone', 'sql', { statement: 'SELECT name FROM sqlite_master' }), []);
  assert.equal(await worker.run('gone', 'alarm'), null);
  await say(worker, 'gone', '3');
  assert.equal((await finished(worker, 'gone')).content, '000 001 002 ');
});

test('a reply is written to its end while nobody asks for anything', async () => {
  const worker = answering(500);
  await say(worker, 'alone', '40');
  const { instance } = await worker.run('alone', 'instance');
  // An object without pending work is evicted after some ten seconds without a request.
  await sleep(18_000);
  assert.equal((await worker.run('alone', 'instance')).instance, instance);
  assert.equal((await finished(worker, 'alone')).content, tokens(40).join(''));
});

test('a reply of 200 tokens costs seven rows, and two for each of its writes', async (t) => {
  const worker = answering(20);
  const rows = () => worker.run('cost', 'rows');
  await say(worker, 'cost', '1');
  await finished(worker, 'cost');
  for (const [content, words] of [['200 unended at once', 'that come together'], ['200 unended', 'at 50 a second']]) {
    await calm(worker, 'cost');
    const before = await rows();
    const { reply } = await say(worker, 'cost', content);
    await eventually(async () => {
      const { replies } = await worker.run('cost', 'load', { session: 'cost' });
      assert.equal(replies[0].chunks, 200);
    });
    const writes = await count(worker, 'cost', 'chunks');
    assert.equal((await rows()) - before, 4 + writes, 'two messages, the reply, the alarm, and the chunks');
    assert.equal((await stop(worker, 'cost', reply)).status, 200);
    const cost = (await rows()) - before;
    assert.equal(cost, 7 + 2 * writes);
    if (content.endsWith('at once')) assert.equal(writes, 1, 'chunks that come together are one row');
    t.diagnostic(`200 tokens ${words}: ${writes} writes, ${cost} rows`);
  }
});
