// The store's promises on this platform that the suite does not cover.
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

for (const layout of [1, 3]) {
  test(`tables of layout ${layout} are refused with a sentence and left alone`, async () => {
    const object = `layout-${layout}`;
    await appendAll(object, ['one']);
    await worker.run(object, 'sql', { statement: `UPDATE durable_session_meta SET value = ${layout} WHERE key = 'layout'` });
    await worker.restart();
    for (const refused of [await appendAll(object, ['two']), await worker.run(object, 'load')]) {
      assert.equal(refused.error, 'Unavailable');
      assert.match(refused.text, new RegExp(`the layout of the object's tables is ${layout}, and this release reads layout 2`));
    }
    assert.deepEqual(await worker.run(object, 'sql', { statement: 'SELECT COUNT(*) FROM durable_session_messages' }), [[1]]);
  });
}

test('everything is there after a restart', async () => {
  await appendAll('restart', ['one', 'two'], { app: '{"a":1}' });
  await appendAll('restart', ['three']);
  await worker.restart();
  const loaded = await worker.run('restart', 'load');
  assert.deepEqual([loaded.tail, loaded.app], [['one', 'two', 'three'], '{"a":1}']);
});

test('a commit writes as many rows as the documentation says', async () => {
  const cost = async (body) => (await worker.run('cost', 'commit', body)).rowsWritten;
  assert.equal(await cost({ session: 'a', append: ['one'] }), 1 + 3 + 2);
  assert.equal(await cost({ session: 'b', append: ['one', 'two'] }), 2 + 3);
  assert.equal(await cost({ session: 'b', app: '{}' }), 1);
  assert.equal(await cost({ session: 'b', append: ['three'], app: '{"a":1}' }), 2);
  assert.equal(await cost({ session: 'b', owner: 'u-42' }), 1, 'labels');
  assert.equal(await cost({ session: 'b', appendBytes: 100_000 }), 1, 'a large message, whose tag has a column');
});

test('a reply writes as many rows as the documentation says', async () => {
  await appendAll('reply', ['first'], { app: '{}' });
  const commit = (body) => worker.run('reply', 'commit', body);
  const extend = (body) => worker.run('reply', 'extend', { seq: 3, ...body });
  assert.equal((await commit({ append: ['a question'], open: 'so far: ' })).rowsWritten, 3, 'two messages and the reply');
  const counts = (chunks, beats) => `Extended(ReplyCounts { chunks: ${chunks}, beats: ${beats} })`;
  let offset = 0;
  for (let n = 1; n <= 20; n++) {
    const extended = await extend({ offset, chunks: ['"a"', '"b"', '"c"'] });
    offset += 3;
    assert.deepEqual(extended, { outcome: counts(offset, 0), rowsWritten: 1 });
  }
  assert.deepEqual(await extend({ offset: 30, chunks: ['"a"'] }), { outcome: counts(60, 0), rowsWritten: 0 }, 'sent again');
  for (let n = 1; n <= 2; n++) assert.deepEqual(await extend({}), { outcome: counts(60, n), rowsWritten: 1 }, 'a beat');
  assert.deepEqual((await worker.run('reply', 'load')).replies, [{ seq: 3, chunks: 60, beats: 2, bytes: 180 }]);
  const close = { seq: 3, chunks: 60, beats: 2, text: 'so far: abc' };
  assert.match((await commit({ close: { ...close, chunks: 59 } })).refused, /Grew/);
  // The message, the head and the reply are written; the reply's twenty rows of chunks are deleted.
  assert.equal((await commit({ close })).rowsWritten, 3 + 20);
  assert.deepEqual((await worker.run('reply', 'load')).replies, []);
  for (const table of ['replies', 'chunks']) {
    assert.deepEqual(await worker.run('reply', 'sql', { statement: `SELECT COUNT(*) FROM durable_session_${table}` }), [[0]]);
  }
});

test('chunks that do not fit into one row become several, whole or not at all', async () => {
  await appendAll('many-chunks', [], { open: '' });
  const many = Array.from({ length: 65_536 }, () => 'x'.repeat(27));
  const extend = (offset) => worker.run('many-chunks', 'extend', { seq: 1, offset, chunks: many });
  await worker.run('many-chunks', 'sql', {
    statement: `CREATE TRIGGER boom BEFORE INSERT ON durable_session_chunks WHEN NEW.offset > 0
      BEGIN SELECT RAISE(ABORT, 'boom'); END`,
  });
  assert.equal((await extend(0)).error, 'Internal');
  assert.deepEqual((await worker.run('many-chunks', 'load')).replies, [{ seq: 1, chunks: 0, beats: 0, bytes: 0 }]);
  await worker.run('many-chunks', 'sql', { statement: 'DROP TRIGGER boom' });
  assert.equal((await extend(0)).rowsWritten, 2);
  assert.deepEqual((await worker.run('many-chunks', 'load')).replies, [{ seq: 1, chunks: 65_536, beats: 0, bytes: 27 * 65_536 }]);
  const refused = await extend(65_536);
  assert.equal(refused.error, 'TooLarge');
  assert.match(refused.text, /the limit is 1948976/);
});

test('chunks that cannot be read are named, those before them are read, and a delete needs none of them', async () => {
  const chunks = (offset, max) => worker.run('bad-chunks', 'chunks', { seq: 1, offset, max });
  const damage = (statement) => worker.run('bad-chunks', 'sql', { statement });
  await appendAll('bad-chunks', [], { open: '' });
  for (const offset of [0, 2, 4, 6]) await worker.run('bad-chunks', 'extend', { seq: 1, offset, chunks: [`"${offset}"`, '"x"'] });
  assert.deepEqual(await chunks(1, 2), { chunks: ['"x"', '"2"'], more: true, has: 8 });
  await damage('UPDATE durable_session_chunks SET row = substr(row, 2) WHERE offset = 6');
  for (const broken of [await chunks(5), await worker.run('bad-chunks', 'load')]) {
    assert.deepEqual([broken.error, broken.seq, broken.chunk], ['Corrupt', 1, 6]);
  }
  assert.deepEqual(await chunks(2, 4), { chunks: ['"2"', '"x"', '"4"', '"x"'], more: true, has: 6 });
  for (const lost of [2, 0]) {
    await damage(`DELETE FROM durable_session_chunks WHERE offset = ${lost}`);
    const missing = await chunks(0, 4);
    assert.deepEqual([missing.error, missing.seq, missing.chunk], ['Corrupt', 1, 4], `without the row at ${lost}`);
  }
  // The other commands load first, and the damage fails the load. A delete reads no chunks.
  assert.equal((await worker.run('bad-chunks', 'delete')).outcome, 'Deleted');
  assert.deepEqual(await worker.run('bad-chunks', 'sql', { statement: 'SELECT COUNT(*) FROM durable_session_chunks' }), [[0]]);
});

test('a load brings the tags of large messages without reading their rows', async () => {
  await appendAll('tags', ['small'], { appendBytes: 4096 });
  await appendAll('tags', [], { appendBytes: 4097 });
  await appendAll('tags', ['last']);
  const tagged = await worker.run('tags', 'sql', { statement: 'SELECT seq FROM durable_session_messages WHERE tag IS NOT NULL' });
  assert.deepEqual(tagged, [[3]]);
  // Damage shows which rows were read: the first message's tag is missing, the large message's is
  // not.
  await worker.run('tags', 'sql', { statement: 'UPDATE durable_session_messages SET row = substr(row, 2) WHERE seq IN (1, 3)' });
  const loaded = await worker.run('tags', 'load', { last: 1 });
  assert.deepEqual(loaded.tags.map(([seq]) => seq), [2, 3, 4]);
  await worker.run('tags', 'sql', { statement: "UPDATE durable_session_messages SET tag = x'00' WHERE seq = 3" });
  assert.deepEqual((await worker.run('tags', 'load', { last: 1 })).tags.map(([seq]) => seq), [2, 4]);
});

test('after a restored storage versions are others, and stay so', async () => {
  assert.deepEqual(await worker.run('salted', 'restored'), { restored: true }, 'nothing there is fine');
  await appendAll('salted', ['one']);
  const version = async () => (await worker.run('salted', 'load')).version;
  const seen = [await version()];
  for (let n = 0; n < 2; n++) {
    assert.deepEqual(await worker.run('salted', 'restored'), { restored: true });
    seen.push(await version());
    await worker.restart();
    assert.equal(await version(), seen.at(-1), 'the salt is stored');
  }
  assert.equal(new Set(seen.map((version) => version.slice(0, 16))).size, 3);
  for (const version of seen) assert.equal(version.slice(16), seen[0].slice(16), 'the same life and the same counter');
  assert.equal((await appendAll('salted', ['two'])).rowsWritten, 1);
  await worker.run('salted', 'delete');
  await worker.run('salted', 'purge');
  await appendAll('salted', ['one']);
  const anew = await version();
  await worker.restart();
  assert.equal(await version(), anew, 'an emptied object has no salt any more');
});
