// The golden protocol files, played unchanged against the Worker in workerd and against the
// whole-state object.
import path from 'node:path';
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Process, ROOT } from './harness.mjs';

const { playScenario, scenarios } = await import(path.join(ROOT, 'protocol/play.mjs'));

// Users are answered by replies only in the scenarios of replies.
const played = scenarios().filter(({ replies }) => !replies);
const ofReplies = scenarios().filter(({ replies }) => replies);

async function playTo(worker, list) {
  await worker.start();
  for (const scenario of list) {
    test(`golden ${scenario.file.replace(/\.json$/, '')}: ${scenario.name}`, async () => {
      assert.deepEqual(await playScenario(scenario, { base: worker.base }), []);
    });
  }
}
await playTo(new Process('tutor'), played);
await playTo(new Process('tutor', { variables: { STREAM_MS: '150', CLIENT_MAY: 'everything' } }), ofReplies);

const legacy = new Process('legacy');
await legacy.start();
test('the whole-state object answers as existing clients rely on, and differs only in later routes', async (t) => {
  const differs = [];
  for (const scenario of played) {
    const wrong = await playScenario(scenario, { base: legacy.base });
    if (scenario.extends) differs.push(...(wrong.length ? [scenario.name] : []));
    else assert.deepEqual(wrong, [], scenario.name);
  }
  t.diagnostic(`${differs.length} scenarios of the extended protocol differ: ${differs.join('; ')}`);
});
