// A caller that goes away after one poll: the next reader sees its durable message.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Running } from './harness.mjs';

const worker = new Running('tests');

for (const read of ['snapshot', 'messages', 'get_state', 'get_state_json', 'a new handle']) {
  test(`a message whose caller is gone before its commit ended is seen by ${read}`, async () => {
    const seen = await worker.run(`dropped-${read}`, 'dropped', { ms: 50, read });
    assert.deepEqual(seen, { finished: false, durable: 2, read: 2 });
  });
}

test('the storage itself commits within the first poll', async () => {
  const seen = await worker.run('dropped-at-once', 'dropped', { ms: 0, read: 'snapshot' });
  assert.deepEqual(seen, { finished: true, durable: 2, read: 2 });
});
