// What the store promises on this platform, beyond the suite.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Running } from './harness.mjs';

const worker = new Running('tests');
const appendAll = (object, texts, more = {}) => worker.run(object, 'commit', { append: texts, ...more });

test('an append writes exactly one row, however long the conversation is', async () => {
  await appendAll('rows', ['first'], { app: '{}' });
  for (let n = 0; n < 20; n++) {
    assert.equal((await appendAll('rows', [`message ${n}`])).rowsWritten, 1);
  }
  await appendAll('rows', Array.from({ length: 1000 }, (_, n) => `filler ${n}`));
  assert.equal((await appendAll('rows', ['after a thousand'])).rowsWritten, 1);
  assert.equal((await appendAll('rows', ['one', 'two', 'three'])).rowsWritten, 3);
});

test('looking at an absent session leaves nothing behind', async () => {
  assert.equal(await worker.run('absent', 'load'), null);
  assert.equal(await worker.run('absent', 'salvage'), null);
  const tables = await worker.run('absent', 'sql', { statement: "SELECT name FROM sqlite_master WHERE name LIKE 'durable%'" });
  assert.deepEqual(tables, []);
});

test('an exception in the middle of a commit rolls back all of it', async () => {
  await appendAll('exception', ['kept'], { app: '"before"' });
  await worker.run('exception', 'sql', {
    statement: `CREATE TRIGGER boom BEFORE INSERT ON durable_session_messages WHEN NEW.seq = 4
      BEGIN SELECT RAISE(ABORT, 'boom'); END`,
  });
  const refused = await appendAll('exception', ['two', 'three', 'four', 'five'], { app: '"after"' });
  assert.equal(refused.error, 'Internal');
  assert.match(refused.sources.join(), /boom/);
  const loaded = await worker.run('exception', 'load');
  assert.deepEqual([loaded.tail, loaded.app, loaded.messages], [['kept'], '"before"', 1]);

  await worker.run('exception', 'sql', { statement: 'DROP TRIGGER boom' });
  assert.equal((await appendAll('exception', ['two', 'three', 'four'])).messages, 4);
});

test('an exception while a session is created leaves no session and no tables', async () => {
  await worker.run('exception-first', 'sql', { statement: 'CREATE TABLE durable_session_messages (other)' });
  assert.equal((await appendAll('exception-first', ['one'])).error, 'Internal');
  assert.equal(await worker.run('exception-first', 'load'), null);
  await worker.run('exception-first', 'sql', { statement: 'DROP TABLE durable_session_messages' });
  assert.equal((await appendAll('exception-first', ['one'])).messages, 1);
});

test('a message over the row limit is refused and nothing is stored', async () => {
  await appendAll('large', ['kept']);
  const refused = await appendAll('large', ['not kept'], { appendBytes: 1_950_001 });
  assert.equal(refused.error, 'TooLarge');
  assert.deepEqual((await worker.run('large', 'load')).tail, ['kept']);
  assert.equal((await appendAll('large', [], { appendBytes: 1_950_000 })).bytes, 1_950_004);
});

test('a corrupt row is an error that names it, and salvage returns the others', async () => {
  await appendAll('corrupt', ['one', 'two', 'three'], { app: '{}' });
  await worker.run('corrupt', 'sql', { statement: "UPDATE durable_session_messages SET row = substr(row, 1, 40) WHERE seq = 2" });
  const failed = await worker.run('corrupt', 'load');
  assert.deepEqual([failed.error, failed.seq], ['Corrupt', 2]);
  const salvaged = await worker.run('corrupt', 'salvage');
  assert.deepEqual(salvaged, { seqs: [1, 3], damaged: [2], head: true });
  assert.equal((await worker.run('corrupt', 'delete')).outcome, 'Deleted');
  assert.equal(await worker.run('corrupt', 'load'), null);
});

test('a session whose number row is unreadable is salvaged by its head and deleted whole', async () => {
  await appendAll('numberless', ['one', 'two'], { app: '{}' });
  await worker.run('numberless', 'sql', { statement: "UPDATE durable_session_numbers SET row = x'00'" });
  assert.equal((await worker.run('numberless', 'load')).error, 'Corrupt');
  assert.deepEqual(await worker.run('numberless', 'salvage'), { seqs: [1, 2], damaged: [null], head: true });
  await worker.run('numberless', 'delete');
  assert.deepEqual(await worker.run('numberless', 'sql', { statement: 'SELECT COUNT(*) FROM durable_session_messages' }), [[0]]);
});

test('tables of a later release are left alone', async () => {
  await appendAll('later', ['one']);
  await worker.run('later', 'sql', { statement: "UPDATE durable_session_meta SET value = 2 WHERE key = 'layout'" });
  await worker.restart();
  const refused = await appendAll('later', ['two']);
  assert.equal(refused.error, 'Unavailable');
  assert.match(refused.text, /layout/);
  assert.deepEqual(await worker.run('later', 'sql', { statement: 'SELECT COUNT(*) FROM durable_session_messages' }), [[1]]);
});

test('everything is there after a restart', async () => {
  await appendAll('restart', ['one', 'two'], { app: '{"a":1}' });
  await appendAll('restart', ['three']);
  await worker.restart();
  const loaded = await worker.run('restart', 'load');
  assert.deepEqual([loaded.tail, loaded.app], [['one', 'two', 'three'], '{"a":1}']);
});

test('what a change writes is what the documentation says that it costs', async () => {
  const cost = async (body) => (await worker.run('cost', 'commit', body)).rowsWritten;
  assert.equal(await cost({ session: 'a', append: ['one'] }), 1 + 3 + 2);
  assert.equal(await cost({ session: 'b', append: ['one', 'two'] }), 2 + 3);
  assert.equal(await cost({ session: 'b', app: '{}' }), 1);
  assert.equal(await cost({ session: 'b', append: ['three'], app: '{"a":1}' }), 2);
});
