// A panic in the object, in the ordinary build that cannot unwind: every request is answered, and
// nothing half-written stays.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Running } from './harness.mjs';

const worker = new Running('tests');
const post = (object, command, body = {}) =>
  worker.fetch(`/${object}/${command}`, { method: 'POST', body: JSON.stringify(body) });

/** Makes the object panic while other requests are in flight. All must be answered, the next one too. */
async function survives(object, command, body) {
  const bystanders = [post(object, 'sleep', { ms: 8000 }), post('elsewhere', 'sleep', { ms: 8000 })];
  // The bystanders are in flight once the objects have answered something that was sent after them.
  await Promise.all([worker.run(object, 'load'), worker.run('elsewhere', 'load')]);
  const answers = await Promise.all([post(object, command, body), ...bystanders]);
  assert.equal(answers[0].status, 500);
  assert.match((await answers[0].json()).error, /internal/);
  for (const answer of answers.slice(1)) assert.ok([200, 500].includes(answer.status));
  await Promise.all(answers.map((answer) => answer.text().catch(() => {})));
}

test('a panic is answered, so are the requests in flight, and the next one is served', async () => {
  await worker.run('a', 'commit', { append: ['one'] });
  await survives('a', 'panic');
  assert.deepEqual((await worker.run('a', 'load')).tail, ['one']);
  assert.equal((await worker.run('a', 'commit', { append: ['two'] })).messages, 2);
  assert.equal(await worker.run('elsewhere', 'load'), null);
});

test('a panic in the middle of a commit leaves nothing of it', async () => {
  await survives('b', 'commit-with-panicking-randomness', { append: ['one'] });
  assert.deepEqual(await worker.run('b', 'sql', { statement: "SELECT name FROM sqlite_master WHERE name LIKE 'durable%'" }), []);
  assert.equal((await worker.run('b', 'commit', { append: ['one'] })).messages, 1);
});

test('panic after panic is survived', async () => {
  for (let n = 0; n < 5; n++) await survives('c', 'panic');
  assert.equal((await worker.run('c', 'commit', { append: ['one'] })).messages, 1);
});
