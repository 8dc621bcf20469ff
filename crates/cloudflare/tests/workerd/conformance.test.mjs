// The whole conformance suite inside Durable Objects, each case in an object of its own.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Running } from './harness.mjs';

// An object has one thread, and no code in it can cut the power.
const NOT_APPLICABLE = /^needs \[(Threads|Crash|Threads, Crash|Crash, Threads)\]$/;

const worker = new Running('tests');
const counts = { passed: 0, failed: 0, 'not applicable': 0 };
const cases = await worker.run('list', 'cases');

for (const { name, clauses } of cases) {
  test(`${clauses.join(' ')} ${name.replaceAll('_', ' ')}`, async (t) => {
    let result = { outcome: 'failed', detail: 'no answer' };
    try {
      result = await worker.run(name, 'case', { name });
    } finally {
      counts[result.outcome] += 1;
    }
    if (result.outcome === 'not applicable') {
      assert.match(result.detail, NOT_APPLICABLE);
      t.diagnostic(`not applicable: ${result.detail}`);
    } else {
      assert.equal(result.outcome, 'passed', result.detail);
    }
  });
}

test('every case was run', (t) => {
  t.diagnostic(
    `conformance durable object: ${counts.passed} passed, ${counts.failed} failed, ${counts['not applicable']} not applicable`,
  );
  assert.equal(counts.passed + counts.failed + counts['not applicable'], cases.length);
});
