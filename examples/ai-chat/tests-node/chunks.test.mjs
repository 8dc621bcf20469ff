// What the routes sent in the Rust tests, parsed by the package's own schema: the file UI_CHUNKS, one
// event a line.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { uiMessageChunkSchema } from 'ai';
import { safeValidateTypes } from '@ai-sdk/provider-utils';

const FILE = process.env.UI_CHUNKS;
const valid = async value => (await safeValidateTypes({ value, schema: uiMessageChunkSchema })).success;

test('no chunk of the Rust tests is refused', { skip: !FILE && 'UI_CHUNKS is not set: cargo xtask test ai-sdk' }, async t => {
  const lines = fs.readFileSync(FILE, 'utf8').split('\n').slice(0, -1);
  const chunks = lines.filter(line => line !== '[DONE]');
  const refused = [];
  const kinds = new Set();
  for (const chunk of chunks) {
    const value = JSON.parse(chunk);
    if (!(await valid(value))) refused.push(chunk);
    kinds.add(value.type);
  }
  t.diagnostic(`ui chunks: ${chunks.length} of the Rust tests, of ${kinds.size} kinds, ${refused.length} refused`);
  assert.deepEqual(refused, []);
  // So many, or the recording broke off.
  assert.ok(chunks.length > 200 && kinds.size > 10, `${chunks.length} chunks of ${[...kinds]}`);
  assert.ok(lines.length > chunks.length + 20, 'streams end');
});

test('the schema refuses what is no chunk', async () => {
  for (const none of [{}, { type: 'text' }, { type: 'text-delta', id: '0' }, 'start'])
    assert.equal(await valid(none), false, JSON.stringify(none));
});
