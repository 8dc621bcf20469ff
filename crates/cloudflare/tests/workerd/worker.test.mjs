// The Worker and its objects over HTTP: restarts, takeover, deletion, damage, expiry, eviction,
// CORS.
import net from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Process, ROOT, Running } from './harness.mjs';

const { playScenario, scenarios } = await import(path.join(ROOT, 'protocol/play.mjs'));

const base = (id) => `/api/chat/session/${id}`;
const json = (method, body) => ({ method, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
const get = async (worker, url) => (await worker.fetch(url)).json();
const say = (content, more = {}) => json('POST', { role: 'user', content, ...more });
const contents = async (worker, id) => (await get(worker, `${base(id)}/messages`)).map(({ content }) => content);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test('a conversation is there after a restart', async () => {
  const worker = new Running('tutor');
  await worker.fetch(`${base('s-1')}/messages`, say('hello'));
  await worker.fetch(`${base('s-1')}/booking-info`, json('PUT', null));
  const read = async () => {
    const response = await worker.fetch(base('s-1'));
    return { etag: response.headers.get('etag'), state: await response.json() };
  };
  const before = await read();
  await worker.restart();
  assert.deepEqual(await read(), before);
});

test('the app answers in the same commit as the message that it answers', async () => {
  const worker = new Running('tutor', { variables: {} });
  await worker.fetch(`${base('s-1')}/messages`, say('I want help with python tutor', { id: 'm-1' }));
  await worker.restart();
  const { messages, pendingMatch } = await get(worker, base('s-1'));
  assert.deepEqual(messages.map(({ role }) => role), ['assistant', 'user', 'assistant']);
  assert.deepEqual(messages[2].tutorMatch, pendingMatch);
  assert.ok(pendingMatch);
  await worker.fetch(`${base('s-1')}/messages`, say('I want help with python tutor', { id: 'm-1' }));
  assert.equal((await contents(worker, 's-1')).length, 3, 'a message sent again is not answered again');
});

test('clients of one object at a time lose nothing and see one order', async () => {
  const worker = new Running('tutor');
  const count = 60;
  const client = async (name) => {
    for (let n = 0; n < count; n++) assert.equal((await worker.fetch(`${base('s-1')}/messages`, say(`${name}-${n}`))).status, 200);
  };
  await Promise.all(['a', 'b', 'c'].map(client));
  const [, ...all] = await contents(worker, 's-1');
  assert.equal(all.length, 3 * count);
  for (const name of ['a', 'b', 'c']) {
    assert.deepEqual(all.filter((text) => text.startsWith(name)), Array.from({ length: count }, (_, n) => `${name}-${n}`));
  }
});

test('the state of a whole-state object is taken over through the front, and rolling back shows it again', async () => {
  const worker = new Running('legacy');
  await worker.fetch(`${base('s-1')}/messages`, say('old'));
  await worker.fetch(`${base('s-1')}/pending-match`, json('PUT', null));
  const { lastAccessedAt: _, ...before } = await get(worker, base('s-1'));
  await worker.restart('tutor');
  const { lastAccessedAt: __, ...after } = await get(worker, base('s-1'));
  assert.deepEqual(after, before);
  await worker.fetch(`${base('s-1')}/messages`, say('new'));
  assert.deepEqual((await contents(worker, 's-1')).slice(1), ['old', 'new']);
  await worker.restart('legacy');
  assert.deepEqual((await contents(worker, 's-1')).slice(1), ['old']);
  await worker.restart('tutor');
  assert.deepEqual((await contents(worker, 's-1')).slice(1), ['old', 'new']);
  assert.equal((await worker.fetch(base('s-1'), { method: 'DELETE' })).status, 200);
  await worker.restart('legacy');
  assert.equal((await contents(worker, 's-1')).length, 1, 'a deleted session does not come back');
});

test('a chatState that is not a state is 500 for its session and left as it is', async () => {
  const worker = new Running('seed');
  await worker.run('s-bad', 'not-a-state');
  await worker.restart('tutor');
  for (const [method, rest, body] of [['GET', ''], ['GET', '/messages'], ['POST', '/messages', { role: 'user', content: 'x' }], ['POST', '/reset']]) {
    const response = await worker.fetch(`${base('s-bad')}${rest}`, { ...(body ? json(method, body) : { method }) });
    assert.equal(response.status, 500, `${method} ${rest}`);
    assert.match((await response.json()).error, /is damaged/);
  }
  assert.equal((await worker.fetch(base('s-good'))).status, 200);
  await worker.restart('seed');
  assert.deepEqual((await worker.run('s-bad', 'read')).value, { messages: 'none' });
});

test('the log names the fault and no session', async () => {
  const workerd = new Process('seed');
  await workerd.start();
  await workerd.run('s-secret', 'not-a-state');
  await workerd.kill();
  workerd.configure('tutor');
  await workerd.start();
  await workerd.fetch(`${base('s-secret')}/messages`, say('confidential'));
  for (let n = 0; n < 50 && !workerd.log.includes('chatState'); n++) await sleep(100);
  assert.match(workerd.log, /the stored chatState is not the state of a session/);
  assert.doesNotMatch(workerd.log, /secret|confidential/);
});

test('the former Worker in front of our object serves existing clients', async () => {
  const workerd = new Process('mixed');
  await workerd.start();
  for (const scenario of scenarios().filter(({ extends: added }) => !added)) {
    assert.deepEqual(await playScenario(scenario, { base: workerd.base }), [], scenario.name);
  }
});

test('a deleted session leaves an empty object, and its id begins a new life', async () => {
  const worker = new Running('tests');
  await worker.fetch(`${base('gone')}/messages`, say('one'));
  const first = (await worker.fetch(base('gone'))).headers.get('etag');
  assert.equal((await worker.fetch(base('gone'), { method: 'DELETE' })).status, 200);
  assert.deepEqual(await worker.run('gone', 'sql', { statement: 'SELECT name FROM sqlite_master' }), []);
  assert.deepEqual(await contents(worker, 'gone'), ['Hi!']);
  assert.deepEqual(await worker.run('gone', 'sql', { statement: 'SELECT name FROM sqlite_master' }), [], 'a look stores nothing');
  await worker.fetch(`${base('gone')}/messages`, say('two'));
  assert.deepEqual(await contents(worker, 'gone'), ['Hi!', 'two']);
  assert.notEqual((await worker.fetch(base('gone'))).headers.get('etag'), first);
});

test('a message over the limits is 413 and nothing is stored', async () => {
  const worker = new Running('tutor');
  await worker.fetch(`${base('s-1')}/messages`, say('kept'));
  // A body that is refused is read all the same: the answer would be lost with the connection.
  for (const size of [1_100_000, 2_100_000, 5_000_000, 9_000_000]) {
    const response = await worker.fetch(`${base('s-1')}/messages`, say('x'.repeat(size)));
    assert.equal(response.status, 413, size);
    assert.ok((await response.json()).error);
  }
  assert.deepEqual((await contents(worker, 's-1')).slice(1), ['kept']);
});

test('a client that reads only after it has sent everything gets to read the 413', async () => {
  const worker = new Running('tutor');
  const { hostname, port } = await worker.miniflare.ready;
  const body = 'x'.repeat(9_000_000);
  const answer = await new Promise((resolve, reject) => {
    const head = `POST ${base('s-1')}/messages HTTP/1.1\r\nhost: worker\r\ncontent-length: ${body.length}\r\n\r\n`;
    const socket = net.connect(port, hostname, () => {
      socket.write(head + body, () => socket.once('data', (data) => resolve(data.toString()) || socket.destroy()));
    });
    socket.once('error', reject);
  });
  assert.match(answer, /^HTTP\/1.1 413 /);
});

test('a body with a content-encoding is 415 and the answer names it', async () => {
  const worker = new Running('tutor');
  const { headers, ...message } = say('x');
  const response = await worker.fetch(`${base('s-1')}/messages`, { ...message, headers: { ...headers, 'content-encoding': 'gzip' } });
  assert.equal(response.status, 415);
  assert.match((await response.json()).error, /"gzip"/);
});

test('a state larger than is read in one go comes whole', async () => {
  const worker = new Running('tutor');
  for (let n = 0; n < 30; n++) await worker.fetch(`${base('s-1')}/messages`, say(`${n}${'x'.repeat(100_000)}`, { role: 'assistant' }));
  await worker.restart();
  for (let n = 0; n < 2; n++) {
    const { messages } = await get(worker, base('s-1'));
    assert.equal(messages.length, 31);
    assert.deepEqual(messages, await get(worker, `${base('s-1')}/messages`));
  }
});

test('a corrupt row fails the requests that would show it, and no others', async () => {
  const worker = new Running('tutor');
  for (const id of ['s-bad', 's-good']) {
    for (let n = 1; n <= 80; n++) await worker.fetch(`${base(id)}/messages`, say(`m-${n}`));
  }
  await worker.restart('tests');
  await worker.run('s-bad', 'sql', { statement: 'UPDATE durable_session_messages SET row = substr(row, 1, 40) WHERE seq = 3' });
  await worker.restart('tutor');
  assert.equal((await worker.fetch(base('s-bad'))).status, 500);
  assert.equal((await worker.fetch(`${base('s-bad')}/messages?limit=5`)).status, 200);
  assert.equal((await worker.fetch(`${base('s-bad')}/messages`, say('still added'))).status, 200);
  assert.equal((await contents(worker, 's-good')).length, 81);
  assert.equal((await worker.fetch(base('s-bad'), { method: 'DELETE' })).status, 200);
  assert.equal((await contents(worker, 's-bad')).length, 1);
});

test('a session that nobody uses expires with everything in its object, one that is used stays', async () => {
  const worker = new Running('tests', { variables: { TTL_MS: '1500' } });
  await worker.fetch(`${base('idle')}/messages`, say('one'));
  await worker.fetch(`${base('used')}/messages`, say('one'));
  const tables = (id) => worker.run(id, 'sql', { statement: "SELECT name FROM sqlite_master WHERE name GLOB 'durable*'" });
  for (let n = 0; n < 100 && (await tables('idle')).length > 0; n++) {
    await worker.fetch(`${base('used')}/messages`, say('still here'));
    await sleep(100);
  }
  assert.deepEqual(await tables('idle'), []);
  assert.deepEqual(await contents(worker, 'idle'), ['Hi!']);
  assert.ok((await contents(worker, 'used')).length > 2);
});

test('an object that was evicted wakes with everything', async () => {
  const worker = new Running('tests');
  await worker.fetch(`${base('slept')}/messages`, say('before'));
  const { instance } = await worker.run('slept', 'instance');
  let now = instance;
  // An idle object is evicted after some ten seconds; a question wakes it, so it is asked seldom.
  for (let n = 0; n < 4 && now === instance; n++) {
    await sleep(12_000);
    ({ instance: now } = await worker.run('slept', 'instance'));
  }
  assert.notEqual(now, instance);
  await worker.fetch(`${base('slept')}/messages`, say('after'));
  assert.deepEqual(await contents(worker, 'slept'), ['Hi!', 'before', 'after']);
});

test('pages of an allowed origin may use the service, others may not', async () => {
  const worker = new Running('tests');
  const ask = (origin, init) => worker.fetch(`${base('s-1')}/messages`, { ...init, headers: { origin, ...init?.headers } });
  const preflight = { method: 'OPTIONS', headers: { 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' } };
  const allowed = await ask('https://app.example', preflight);
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get('access-control-allow-origin'), 'https://app.example');
  assert.match(allowed.headers.get('access-control-allow-methods'), /POST/);
  const answer = await ask('https://app.example');
  assert.equal(answer.headers.get('access-control-allow-origin'), 'https://app.example');
  assert.match(answer.headers.get('vary'), /origin/i);
  assert.match(answer.headers.get('access-control-expose-headers'), /etag/);
  const other = await ask('https://evil.example', preflight);
  assert.equal(other.status, 405);
  assert.equal(other.headers.get('access-control-allow-origin'), null);
});
